package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/pdfmill/pdfmill/embedded"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

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

func startS3(t testing.TB, dir string, d embedded.Durability, p *puts) *embedded.S3 {
	t.Helper()
	s, err := embedded.StartS3(t.Context(), embedded.S3Config{
		Dir: dir, Durability: d, Buckets: []string{"inbox", "pdfmill"}, Announce: p.announce, AnnounceBuckets: []string{"inbox"}, Log: quiet(),
		Accounts: []embedded.Account{
			{Access: "root", Secret: "rootsecret"},
			{Access: "user", Secret: "usersecret", Grants: []embedded.Grant{{Bucket: "inbox", Write: true}, {Bucket: "pdfmill"}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func client(t testing.TB, s *embedded.S3, access string) *minio.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := minio.New(strings.TrimPrefix(s.URL(), "http://"), &minio.Options{Creds: credentials.NewStaticV4(access, access+"secret", ""), Transport: transport, MaxRetries: 3})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func put(t testing.TB, c *minio.Client, bucket, key, body string, o minio.PutObjectOptions) error {
	t.Helper()
	_, err := c.PutObject(t.Context(), bucket, key, strings.NewReader(body), int64(len(body)), o)
	return err
}

func get(t testing.TB, c *minio.Client, bucket, key string) string {
	t.Helper()
	object, err := c.GetObject(t.Context(), bucket, key, minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(object)
	if err != nil {
		t.Fatalf("get %s/%s: %v", bucket, key, err)
	}
	return string(body)
}

func TestEveryWayOfWritingIsStoredAndAnnounced(t *testing.T) {
	seen := &puts{}
	s := startS3(t, t.TempDir(), embedded.Synced, seen)
	defer s.Stop(t.Context())
	c := client(t, s, "user")

	if err := put(t, c, "inbox", "deep/er/plain ü+.pdf", "plain", minio.PutObjectOptions{UserMetadata: map[string]string{"pdfmill-pages": "1-2"}}); err != nil {
		t.Fatal(err)
	}
	info, err := c.StatObject(t.Context(), "inbox", "deep/er/plain ü+.pdf", minio.StatObjectOptions{})
	if err != nil || info.UserMetadata["Pdfmill-Pages"] != "1-2" || info.Metadata.Get("Content-Encoding") != "" {
		t.Fatalf("stat: %+v, %v", info, err)
	}
	if a := seen.seen[0]; a.ETag != info.ETag || a.Size != 5 || a.ModTime.Unix() != info.LastModified.Unix() {
		t.Errorf("announced %+v, stored %+v", a, info)
	}
	big := strings.Repeat("0123456789abcdef", 1<<20) // 16 MiB: in parts
	if _, err := c.PutObject(t.Context(), "inbox", "parts.pdf", strings.NewReader(big), -1, minio.PutObjectOptions{PartSize: 5 << 20}); err != nil {
		t.Fatal(err)
	}
	if get(t, c, "inbox", "parts.pdf") != big {
		t.Error("parts do not read back")
	}
	if _, err := c.CopyObject(t.Context(), minio.CopyDestOptions{Bucket: "inbox", Object: "copy.pdf"}, minio.CopySrcOptions{Bucket: "inbox", Object: "deep/er/plain ü+.pdf"}); err != nil {
		t.Fatal(err)
	}
	if got, want := seen.keys(), "deep/er/plain ü+.pdf parts.pdf copy.pdf"; got != want {
		t.Errorf("announced %q, want %q", got, want)
	}
	once := minio.PutObjectOptions{}
	once.SetMatchETagExcept("*")
	if err := put(t, c, "inbox", "copy.pdf", "other", once); minio.ToErrorResponse(err).Code != "PreconditionFailed" {
		t.Errorf("a put that must not overwrite: %v", err)
	}
	if err := os.WriteFile(filepath.Join(s.BucketDir("inbox"), "copied.pdf"), []byte("by cp"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := get(t, c, "inbox", "copied.pdf"); got != "by cp" {
		t.Errorf("a copied file reads %q", got)
	}
}

func TestARefusedAnnouncementIsTheClientsBusiness(t *testing.T) {
	seen := &puts{}
	s := startS3(t, t.TempDir(), embedded.Relaxed, seen)
	defer s.Stop(t.Context())
	c := client(t, s, "user")
	seen.refuse.Store(1)
	if err := put(t, c, "inbox", "a.pdf", "a", minio.PutObjectOptions{}); err != nil {
		t.Fatalf("the client did not try again: %v", err)
	}
	if seen.keys() != "a.pdf" {
		t.Errorf("announced %q", seen.keys())
	}
	seen.refuse.Store(1000)
	if err := put(t, c, "inbox", "b.pdf", "b", minio.PutObjectOptions{}); err == nil {
		t.Error("success without an announcement")
	}
}

func TestAccountsHaveOnlyTheirGrants(t *testing.T) {
	s := startS3(t, t.TempDir(), embedded.Relaxed, &puts{})
	defer s.Stop(t.Context())
	root, user := client(t, s, "root"), client(t, s, "user")
	if err := put(t, root, "pdfmill", "jobs/x/document.md", "# x", minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := get(t, user, "pdfmill", "jobs/x/document.md"); got != "# x" {
		t.Errorf("read %q", got)
	}
	if err := put(t, user, "pdfmill", "jobs/x/document.md", "evil", minio.PutObjectOptions{}); minio.ToErrorResponse(err).Code != "AccessDenied" {
		t.Errorf("user writes pdfmill's bucket: %v", err)
	}
	if err := user.RemoveObject(t.Context(), "pdfmill", "jobs/x/document.md", minio.RemoveObjectOptions{}); minio.ToErrorResponse(err).Code != "AccessDenied" {
		t.Errorf("user deletes from pdfmill's bucket: %v", err)
	}
	if err := user.MakeBucket(t.Context(), "another", minio.MakeBucketOptions{}); err == nil {
		t.Error("user makes buckets")
	}
	stranger := client(t, s, "stranger")
	if err := put(t, stranger, "inbox", "a.pdf", "a", minio.PutObjectOptions{}); err == nil {
		t.Error("a stranger writes")
	}
}

func TestSecondOnTheSameFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := startS3(t, dir, embedded.Relaxed, &puts{})
	_, err := embedded.StartS3(t.Context(), embedded.S3Config{Dir: dir, Accounts: []embedded.Account{{Access: "root", Secret: "x"}}, Log: quiet()})
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "another pdfmill") {
		t.Errorf("second start: %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := startS3(t, dir, embedded.Relaxed, &puts{})
	if err := again.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkPut100KB(b *testing.B) {
	for _, d := range []embedded.Durability{embedded.Synced, embedded.Relaxed} {
		b.Run(string(d), func(b *testing.B) {
			s := startS3(b, b.TempDir(), d, &puts{})
			defer s.Stop(b.Context())
			c := client(b, s, "user")
			body := bytes.Repeat([]byte("x"), 100<<10)
			for i := 0; b.Loop(); i++ {
				if _, err := c.PutObject(b.Context(), "inbox", fmt.Sprintf("%d/a.pdf", i), bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
