package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

// Account of the S3 gateway. The first one owns every bucket and may do everything; the others have only their grants.
type Account struct {
	Access, Secret string
	Grants         []Grant
}

// Grant lets an account read, or read and write, one bucket.
type Grant struct {
	Bucket string
	Write  bool
}

// S3Config says how to run the gateway.
type S3Config struct {
	Dir        string // holds the buckets as folders; absolute
	Addr       string // default 127.0.0.1:0, which picks a port
	Durability Durability
	Accounts   []Account // at least one
	Buckets    []string  // created when missing
	// Announce is called for every object written to AnnounceBuckets, before the client gets its answer; its error becomes the client's.
	Announce        func(context.Context, Put) error
	AnnounceBuckets []string
	Log             *slog.Logger
}

// S3 is a running gateway. There is one a process: it changes the process' working directory to its own (the backend works with relative paths), so that
// every other path must be absolute before it starts.
type S3 struct {
	root    string
	url     string
	stop    context.CancelFunc
	stopped chan error
	lock    *lock
	backend *backend
}

// StartS3 starts the gateway and returns when it takes connections.
func StartS3(ctx context.Context, c S3Config) (*S3, error) {
	if len(c.Accounts) == 0 {
		return nil, errors.New("an S3 gateway without accounts would be of use to nobody")
	}
	held, err := take(c.Dir)
	if err != nil {
		return nil, err
	}
	s, err := startS3(ctx, c)
	if err != nil {
		held.release()
		return nil, err
	}
	s.lock = held
	return s, nil
}

func startS3(ctx context.Context, c S3Config) (*S3, error) {
	// Bucket names need three characters, so that the lock file beside them is none.
	for _, bucket := range c.Buckets {
		if err := os.MkdirAll(filepath.Join(c.Dir, bucket), 0o700); err != nil {
			return nil, fmt.Errorf("make bucket %s: %w", bucket, err)
		}
	}
	files, err := posix.New(c.Dir, meta.XattrMeta{}, posix.PosixOpts{NewDirPerm: 0o700, NewFilePerm: 0o600, CopyObjectThreshold: 5 << 30, Concurrency: 256})
	if err != nil {
		return nil, fmt.Errorf("S3 gateway on %s: %w", c.Dir, err)
	}
	b := &backend{Posix: files, root: c.Dir, synced: c.Durability != Relaxed, buckets: c.AnnounceBuckets, announce: c.Announce, log: c.Log}
	if err := setRights(ctx, b, c); err != nil {
		files.Shutdown()
		return nil, err
	}
	s := &S3{root: c.Dir, backend: b}
	if err := s.listen(ctx, c); err != nil {
		files.Shutdown()
		return nil, err
	}
	return s, nil
}

// listen starts serving. A port that was free a moment ago may be taken now: then another is tried.
func (s *S3) listen(ctx context.Context, c S3Config) error {
	host, port, err := address(c.Addr)
	if err != nil {
		return fmt.Errorf("S3 address: %w", err)
	}
	for attempt := 1; ; attempt++ {
		chosen := port
		if chosen == 0 {
			if chosen, err = freePort(ctx, host); err != nil {
				return err
			}
		}
		addr := net.JoinHostPort(host, strconv.Itoa(chosen))
		err = s.serve(ctx, c, addr)
		if err == nil {
			s.url = "http://" + addr
			return nil
		}
		if port != 0 || attempt == 5 {
			return fmt.Errorf("S3 gateway on %s: %w (another program may use the port: choose one with --s3-addr, port 0 picks a free one)", addr, err)
		}
	}
}

func (s *S3) serve(ctx context.Context, c S3Config, addr string) error {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	stopped := make(chan error, 1)
	go func() {
		stopped <- embedgw.RunVersityGW(life, s.backend, &embedgw.Config{
			RootUserAccess: c.Accounts[0].Access, RootUserSecret: c.Accounts[0].Secret, Ports: []string{addr}, Quiet: true, KeepAlive: true,
			MaxConnections: 4096, MaxRequests: 2048, MultipartMaxParts: 10000, IAMService: accounts(c.Accounts[1:]), DisableACLs: true,
		})
	}()
	if err := answers(ctx, addr, stopped); err != nil {
		stop()
		return err
	}
	s.stop, s.stopped = stop, stopped
	return nil
}

// answers waits until somebody listens on addr, or the server has given up.
func answers(ctx context.Context, addr string, stopped <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case err := <-stopped:
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("it does not listen: %w", err)
		case <-ticker.C:
		}
	}
}

func freePort(ctx context.Context, host string) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, fmt.Errorf("find a free port on %s: %w", host, err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// URL is where clients connect.
func (s *S3) URL() string { return s.url }

// BucketDir is the folder that is a bucket.
func (s *S3) BucketDir(bucket string) string { return filepath.Join(s.root, bucket) }

// stopWait bounds the wait for clients that keep idle connections open.
const stopWait = 5 * time.Second

// Stop ends the gateway; what it answered is stored.
func (s *S3) Stop(ctx context.Context) error {
	defer s.lock.release()
	s.stop()
	ctx, cancel := context.WithTimeout(ctx, stopWait)
	defer cancel()
	select {
	case err := <-s.stopped:
		if err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("stop the S3 gateway: %w", err)
		}
	case <-ctx.Done(): // idle clients hold it: nothing is in work
	}
	return nil
}

// setRights writes each bucket's policy from the accounts' grants.
func setRights(ctx context.Context, b *backend, c S3Config) error {
	for _, bucket := range c.Buckets {
		owner, err := json.Marshal(auth.ACL{Owner: c.Accounts[0].Access})
		if err != nil {
			return fmt.Errorf("encode owner of bucket %s: %w", bucket, err)
		}
		if err := b.PutBucketAcl(ctx, bucket, owner); err != nil {
			return fmt.Errorf("set owner of bucket %s: %w", bucket, err)
		}
		policy, err := json.Marshal(bucketPolicy(bucket, c.Accounts[1:]))
		if err != nil {
			return fmt.Errorf("encode policy of bucket %s: %w", bucket, err)
		}
		if err := b.PutBucketPolicy(ctx, bucket, policy); err != nil {
			return fmt.Errorf("set policy of bucket %s: %w", bucket, err)
		}
	}
	return nil
}
