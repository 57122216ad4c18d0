package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
)

const (
	mostConnections = 4096
	mostRequests    = 512 // in work at once; each may block a thread in the file system. More get 503, and clients try again.
	mostParts       = 10000
	portTries       = 5
)

// listen starts serving. The gateway takes no listener, only an address, so that a port that was free a moment ago may be taken now: then another is tried.
// When it succeeds, release is called as the gateway ends.
func (s *S3) listen(ctx context.Context, c S3Config, release func()) error {
	host, port, err := address(c.Addr)
	if err != nil {
		return fmt.Errorf("address: %w", err)
	}
	for attempt := 1; ; attempt++ {
		chosen := port
		if chosen == 0 {
			if chosen, err = freePort(ctx, host); err != nil {
				return err
			}
		}
		err = s.serve(ctx, c, net.JoinHostPort(host, strconv.Itoa(chosen)), release)
		if err == nil {
			return nil
		}
		if port != 0 || attempt == portTries || ctx.Err() != nil {
			return fmt.Errorf("%w (another program may use the port: choose one with --s3-addr, port 0 picks a free one)", err)
		}
	}
}

// serve runs the gateway on one address and returns when it answers, or why it does not.
func (s *S3) serve(ctx context.Context, c S3Config, addr string, release func()) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	bound := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- embedgw.RunVersityGW(life, s.backend, &embedgw.Config{
			RootUserAccess: c.Accounts[0].Access, RootUserSecret: c.Accounts[0].Secret, Ports: []string{addr}, Quiet: true, KeepAlive: true,
			MaxConnections: mostConnections, MaxRequests: mostRequests, MultipartMaxParts: mostParts,
			IAMService: accounts(c.Accounts[1:]), DisableACLs: true,
			S3Options: []s3api.Option{s3api.WithOnListen(func() { close(bound) })},
		})
	}()
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	select {
	case <-bound: // the port is ours: whoever answers there is the gateway
	case err := <-ended:
		end()
		return err
	case <-ctx.Done():
		end()
		return fmt.Errorf("it does not listen on %s: %w", addr, errors.Join(ctx.Err(), <-ended))
	}
	// Ended before it serves, it would listen for ever.
	if err := answers(ctx, "http://"+addr); err != nil {
		end()
		return errors.Join(err, <-ended)
	}
	s.url, s.end, s.served = "http://"+addr, end, make(chan struct{})
	go func() {
		s.err = <-ended
		s.backend.end()
		release()
		close(s.served)
	}()
	return nil
}

// answers waits for an answer to a request, whatever it says.
func answers(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: it is this process
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("it does not answer: %w", err)
	}
	return response.Body.Close()
}

func freePort(ctx context.Context, host string) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, fmt.Errorf("find a free port on %s: %w", host, err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
