package rig

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Seen is what somebody asked servers for, each thing once.
type Seen struct {
	mu  sync.Mutex
	all map[[3]string]bool
}

func (s *Seen) note(who, verb, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[[3]string]bool{}
	}
	s.all[[3]string{who, verb, what}] = true
}

// By is what somebody asked for with a verb: of NATS "PUB" and "SUB" with subjects, of a store actions as policies call them, with the names of resources.
func (s *Seen) By(who, verb string) (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.all {
		if one[0] == who && one[1] == verb {
			all = append(all, one[2])
		}
	}
	return all
}

// tapNATS listens for a NATS client in the place of the server at address, and notes every subject that it publishes or subscribes to.
func (s *Seen) tapNATS(t testing.TB, who, address string) (url string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	t.Cleanup(func() { listener.Close(); group.Wait() })
	group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", address) //nolint:noctx // it is on this machine
			if err != nil {
				client.Close()
				continue // as if there were nobody
			}
			closed := sync.OnceFunc(func() { client.Close(); server.Close() })
			stop := make(chan struct{})
			group.Go(func() {
				defer close(stop)
				defer closed()
				_, _ = io.Copy(client, server) // either side may end it
			})
			group.Go(func() {
				defer closed()
				if err := s.pass(who, bufio.NewReader(client), server); err != nil {
					t.Errorf("what %s says to NATS is not understood: %v", who, err)
				}
			})
		}
	})
	return "nats://" + listener.Addr().String()
}

// pass copies what a client says, until either side ends it. The error is about what it says.
func (s *Seen) pass(who string, client *bufio.Reader, server io.Writer) error {
	for {
		line, err := client.ReadString('\n')
		if _, failed := io.WriteString(server, line); err != nil || failed != nil {
			return nil //nolint:nilerr // somebody hung up
		}
		words, body := strings.Fields(line), 0
		if len(words) == 0 {
			continue
		}
		switch verb := strings.ToUpper(words[0]); verb {
		case "PUB", "HPUB":
			if body, err = strconv.Atoi(words[len(words)-1]); err != nil || len(words) < 3 {
				return fmt.Errorf("%q", line)
			}
			body += len("\r\n")
			s.note(who, "PUB", words[1])
		case "SUB":
			s.note(who, verb, words[1])
		case "CONNECT", "PING", "PONG", "UNSUB":
		default:
			return fmt.Errorf("%q", line)
		}
		if _, err := io.CopyN(server, client, int64(body)); err != nil {
			return nil //nolint:nilerr // somebody hung up
		}
	}
}

// tapS3 listens in the place of a store, and notes what is asked of it by whom.
func (s *Seen) tapS3(t testing.TB, endpoint string) string {
	t.Helper()
	store, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: &httputil.ReverseProxy{ //nolint:gosec // no stranger comes here
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(store)
			r.Out.Host = r.In.Host // it is signed
			action, resource := action(r.In)
			s.note(signer(r.In), action, resource)
		},
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode == http.StatusNotFound { // whoever may not list would be told that it is forbidden
				_, resource := action(r.Request)
				bucket, _, _ := strings.Cut(resource, "/")
				s.note(signer(r.Request), "s3:ListBucket", bucket)
			}
			return nil
		},
	}}
	go func() { _ = server.Serve(listener) }() // it ends with the test
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String()
}

// signer is whose request it is.
func signer(r *http.Request) string {
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	who, _, _ := strings.Cut(credential, "/")
	return who
}

// action is what a request does, in the words of policies.
func action(r *http.Request) (name, resource string) {
	path, query := strings.TrimPrefix(r.URL.Path, "/"), r.URL.Query()
	bucket, key, _ := strings.Cut(path, "/")
	resource = "arn:aws:s3:::" + bucket
	if key == "" {
		switch {
		case query.Has("location"):
			return "s3:GetBucketLocation", resource
		case query.Has("uploads"):
			return "s3:ListBucketMultipartUploads", resource
		case r.Method == http.MethodGet, r.Method == http.MethodHead:
			return "s3:ListBucket", resource
		}
		return r.Method + " of a bucket", resource
	}
	resource += "/" + key
	switch {
	case r.Method == http.MethodDelete && query.Has("uploadId"):
		return "s3:AbortMultipartUpload", resource
	case r.Method == http.MethodDelete:
		return "s3:DeleteObject", resource
	case r.Method == http.MethodGet && query.Has("uploadId"):
		return "s3:ListMultipartUploadParts", resource
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		return "s3:GetObject", resource
	}
	return "s3:PutObject", resource
}
