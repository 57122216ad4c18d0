package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/pdfmill/pdfmill/embedded"
)

// puts records announcements and can refuse them.
type puts struct {
	mu     sync.Mutex
	seen   []embedded.Put
	refuse atomic.Int32 // how many to refuse
}

func (p *puts) announce(_ context.Context, put embedded.Put) error {
	if p.refuse.Add(-1) >= 0 {
		return errors.New("the stream is full")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, put)
	return nil
}

func (p *puts) keys() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var keys []string
	for _, put := range p.seen {
		keys = append(keys, put.Key)
	}
	return strings.Join(keys, " ")
}

func (p *puts) last(t testing.TB) embedded.Put {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.seen) == 0 {
		t.Fatal("nothing was announced")
	}
	return p.seen[len(p.seen)-1]
}

func s3Config(dir string, d embedded.Durability, announce func(context.Context, embedded.Put) error) embedded.S3Config {
	return embedded.S3Config{
		Dir: dir, Durability: d, Buckets: []string{"inbox", "pdfmill", "private"}, Announce: announce, AnnounceBuckets: []string{"inbox"},
		Accounts: []embedded.Account{
			{Access: "root", Secret: "rootsecret"},
			{Access: "service", Secret: "servicesecret", Grants: []embedded.Grant{{Bucket: "pdfmill", Prefix: "jobs/", Write: true}, {Bucket: "pdfmill", Prefix: "source/"}}},
			{Access: "user", Secret: "usersecret", Grants: []embedded.Grant{{Bucket: "inbox", Write: true, Delete: true}, {Bucket: "pdfmill"}}},
		},
	}
}

// startS3 starts a gateway that the test's end stops.
func startS3(t testing.TB, c embedded.S3Config) *embedded.S3 {
	t.Helper()
	s, err := embedded.StartS3(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s.Stop) })
	return s
}

func stop(t testing.TB, how func(context.Context) error) {
	t.Helper()
	if err := how(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// client signs as access. It tries three times.
func client(t testing.TB, url, access string) *minio.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := newClient(url, access, transport)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newClient is client for where there is no test.
func newClient(url, access string, transport http.RoundTripper) (*minio.Client, error) {
	return minio.New(strings.TrimPrefix(url, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(access, access+"secret", ""), Transport: transport, MaxRetries: 3, Region: "us-east-1",
	})
}

func put(t testing.TB, c *minio.Client, bucket, key, body string, o minio.PutObjectOptions) error {
	t.Helper()
	_, err := c.PutObject(t.Context(), bucket, key, strings.NewReader(body), int64(len(body)), o)
	return err
}

func mustPut(t testing.TB, c *minio.Client, bucket, key, body string) {
	t.Helper()
	if err := put(t, c, bucket, key, body, minio.PutObjectOptions{}); err != nil {
		t.Fatalf("put %s/%s: %v", bucket, key, err)
	}
}

func get(t testing.TB, c *minio.Client, bucket, key string) string {
	t.Helper()
	object, err := c.GetObject(t.Context(), bucket, key, minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	body, err := io.ReadAll(object)
	if err != nil {
		t.Fatalf("get %s/%s: %v", bucket, key, err)
	}
	return string(body)
}

func list(t testing.TB, c *minio.Client, bucket, prefix string) string {
	t.Helper()
	var keys []string
	for o := range c.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			t.Fatalf("list %s/%s: %v", bucket, prefix, o.Err)
		}
		keys = append(keys, o.Key)
	}
	return strings.Join(keys, " ")
}

func code(err error) string { return minio.ToErrorResponse(err).Code }

// logged collects log lines.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
