package embedded_test

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/pdfmill/pdfmill/embedded"
)

func TestAnObjectReadsBackAsItWasPut(t *testing.T) {
	s := startS3(t, s3Config(t.TempDir(), embedded.Synced, (&puts{}).announce))
	c := client(t, s.URL(), "user")
	const key = "deep/er/plain ü+.pdf"
	if err := put(t, c, "inbox", key, "0123456789", minio.PutObjectOptions{
		ContentType: "application/pdf", UserMetadata: map[string]string{"pdfmill-pages": "1-2"},
	}); err != nil {
		t.Fatal(err)
	}
	info, err := c.StatObject(t.Context(), "inbox", key, minio.StatObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if info.Size != 10 || info.ContentType != "application/pdf" || info.UserMetadata["Pdfmill-Pages"] != "1-2" || info.ETag != "781e5e245d69b566979b86e28d23f2c7" {
		t.Errorf("stat %+v", info)
	}
	if e := info.Metadata.Get("Content-Encoding"); e != "" {
		t.Errorf("content encoding %q is the transfer's, not the object's", e)
	}
	var middle minio.GetObjectOptions
	if err := middle.SetRange(2, 4); err != nil {
		t.Fatal(err)
	}
	object, err := c.GetObject(t.Context(), "inbox", key, middle)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(object); err != nil || string(body) != "234" {
		t.Errorf("range reads %q, %v", body, err)
	}
	mustPut(t, c, "inbox", "other.pdf", "x")
	if got := list(t, c, "inbox", ""); got != key+" other.pdf" {
		t.Errorf("list %q", got)
	}
	if got := list(t, c, "inbox", "deep/"); got != key {
		t.Errorf("list of a prefix %q", got)
	}
	if err := c.RemoveObject(t.Context(), "inbox", key, minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.StatObject(t.Context(), "inbox", key, minio.StatObjectOptions{}); code(err) != "NoSuchKey" {
		t.Errorf("after its removal: %v", err)
	}
	mustPut(t, c, "inbox", "a/b/c.pdf", "x")
	gone := make(chan minio.ObjectInfo, 2)
	gone <- minio.ObjectInfo{Key: "a/b/c.pdf"}
	gone <- minio.ObjectInfo{Key: "other.pdf"}
	close(gone)
	for failed := range c.RemoveObjects(t.Context(), "inbox", gone, minio.RemoveObjectsOptions{}) {
		t.Errorf("remove %s: %v", failed.ObjectName, failed.Err)
	}
	if got := list(t, c, "inbox", ""); got != "" {
		t.Errorf("left %q", got)
	}
}

func TestOnlyOneOfManyPutsIfAbsent(t *testing.T) {
	s := startS3(t, s3Config(t.TempDir(), embedded.Relaxed, (&puts{}).announce))
	c := client(t, s.URL(), "user")
	var won, lost atomic.Int32
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			var absent minio.PutObjectOptions
			absent.SetMatchETagExcept("*")
			switch err := put(t, c, "inbox", "once.pdf", "x", absent); {
			case err == nil:
				won.Add(1)
			case code(err) == "PreconditionFailed":
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	group.Wait()
	if won.Load() != 1 || lost.Load() != 15 {
		t.Errorf("%d won, %d lost", won.Load(), lost.Load())
	}
}

func TestAFileCopiedIntoTheFolderIsAnObject(t *testing.T) {
	s := startS3(t, s3Config(t.TempDir(), embedded.Synced, (&puts{}).announce))
	c := client(t, s.URL(), "user")
	if err := os.WriteFile(filepath.Join(s.BucketDir("inbox"), "copied.pdf"), []byte("by cp"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := list(t, c, "inbox", ""); got != "copied.pdf" {
		t.Errorf("list %q", got)
	}
	if got := get(t, c, "inbox", "copied.pdf"); got != "by cp" {
		t.Errorf("reads %q", got)
	}
}

func TestWhatIsStoredIsTheOwnersOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "s3")
	s := startS3(t, s3Config(dir, embedded.Synced, (&puts{}).announce))
	c := client(t, s.URL(), "user")
	mustPut(t, c, "inbox", "deep/a.pdf", "x")
	if _, err := c.PutObject(t.Context(), "inbox", "parts.pdf", bytes.NewReader(make([]byte, 6<<20)), -1, minio.PutObjectOptions{PartSize: 5 << 20}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		dir, s.BucketDir("inbox"), filepath.Join(s.BucketDir("inbox"), "deep"), filepath.Join(s.BucketDir("inbox"), "deep", "a.pdf"),
		filepath.Join(s.BucketDir("inbox"), "parts.pdf"),
	} {
		about, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		want := fs.FileMode(0o600)
		if about.IsDir() {
			want = 0o700
		}
		if about.Mode().Perm() != want {
			t.Errorf("%s has mode %04o, want %04o", path, about.Mode().Perm(), want)
		}
	}
}

func TestTwoServersDoNotShareAFolder(t *testing.T) {
	dir := t.TempDir()
	s, err := embedded.StartS3(t.Context(), s3Config(dir, embedded.Relaxed, (&puts{}).announce))
	if err != nil {
		t.Fatal(err)
	}
	_, err = embedded.StartS3(t.Context(), s3Config(dir, embedded.Relaxed, (&puts{}).announce))
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "another pdfmill") {
		t.Errorf("second start: %v", err)
	}
	// One in another folder would change the working directory under the first.
	if _, err := embedded.StartS3(t.Context(), s3Config(t.TempDir(), embedded.Relaxed, (&puts{}).announce)); err == nil || !strings.Contains(err.Error(), "has one already") {
		t.Errorf("second gateway in this process: %v", err)
	}
	c := client(t, s.URL(), "user")
	mustPut(t, c, "inbox", "a.pdf", "still works")
	if got := get(t, c, "inbox", "a.pdf"); got != "still works" {
		t.Errorf("reads %q", got)
	}
	stop(t, s.Stop)
	again := startS3(t, s3Config(dir, embedded.Relaxed, (&puts{}).announce))
	if got := get(t, client(t, again.URL(), "user"), "inbox", "a.pdf"); got != "still works" {
		t.Errorf("after a restart it reads %q", got)
	}
}

func TestMistakesInTheS3ConfigAreNamed(t *testing.T) {
	ok := s3Config(t.TempDir(), embedded.Synced, (&puts{}).announce)
	for name, c := range map[string]struct {
		change func(*embedded.S3Config)
		want   string
	}{
		"relative folder":        {func(c *embedded.S3Config) { c.Dir = "s3" }, "not an absolute path"},
		"no account":             {func(c *embedded.S3Config) { c.Accounts = nil }, "without accounts"},
		"same account twice":     {func(c *embedded.S3Config) { c.Accounts = append(c.Accounts, c.Accounts[1]) }, "of its own"},
		"grant on no bucket":     {func(c *embedded.S3Config) { c.Buckets = []string{"inbox", "private"} }, `"pdfmill"`},
		"bucket outside":         {func(c *embedded.S3Config) { c.Buckets = append(c.Buckets, "../elsewhere") }, "not a bucket's name"},
		"announces no bucket":    {func(c *embedded.S3Config) { c.AnnounceBuckets = []string{"inbux"} }, `"inbux"`},
		"announces to nobody":    {func(c *embedded.S3Config) { c.Announce = nil }, "nobody to tell"},
		"unknown durability":     {func(c *embedded.S3Config) { c.Durability = "fast" }, `"fast"`},
		"address without port":   {func(c *embedded.S3Config) { c.Addr = "localhost" }, "host:port"},
		"port that is no number": {func(c *embedded.S3Config) { c.Addr = "localhost:http" }, "between 0 and 65535"},
	} {
		t.Run(name, func(t *testing.T) {
			config := ok
			c.change(&config)
			if _, err := embedded.StartS3(t.Context(), config); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something about %q", err, c.want)
			}
		})
	}
}
