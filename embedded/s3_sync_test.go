package embedded_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/pdfmill/pdfmill/embedded"
)

// disk records what is synced: paths below the root, a file that has no name yet as "content".
type disk struct {
	root   string
	mu     sync.Mutex
	synced []string
	fail   atomic.Bool
}

func (d *disk) fsync(file *os.File) error {
	if d.fail.Load() {
		return errors.New("the disk is broken")
	}
	name := "content"
	if below, err := filepath.Rel(d.root, file.Name()); err == nil && !strings.HasPrefix(below, "..") {
		name = below
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.synced = append(d.synced, name)
	return file.Sync()
}

// since tells what was synced since it was asked last: what came before a name, in order, then the names, in none.
func (d *disk) since() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	named := slices.IndexFunc(d.synced, func(name string) bool { return name != "content" })
	if named >= 0 {
		slices.Sort(d.synced[named:])
	}
	defer func() { d.synced = nil }()
	return strings.Join(d.synced, " ")
}

func TestSyncedMeansFileAndFolders(t *testing.T) {
	d := &disk{root: filepath.Join(t.TempDir(), "new", "s3")}
	s := startS3(t, embedded.WithFsync(s3Config(d.root, embedded.Synced, (&puts{}).announce), d.fsync))
	// The folder's own parents are outside, so "content" here.
	if got := d.since(); strings.Count(got, "content") != 2 || strings.Count(got, ".") != 3 {
		t.Errorf("start synced %q", got)
	}
	c := client(t, s.URL(), "user")
	ctx := t.Context()
	for _, step := range []struct {
		what, want string
		do         func() error
	}{
		{"put", "content inbox inbox/a inbox/a/b inbox/a/b/c.pdf", func() error { return put(t, c, "inbox", "a/b/c.pdf", "x", minio.PutObjectOptions{}) }},
		{"copy", "inbox inbox/d inbox/d/e.pdf", func() error {
			_, err := c.CopyObject(ctx, minio.CopyDestOptions{Bucket: "inbox", Object: "d/e.pdf"}, minio.CopySrcOptions{Bucket: "inbox", Object: "a/b/c.pdf"})
			return err
		}},
		{"multipart", "content inbox inbox/f inbox/f/g.pdf", func() error {
			_, err := c.PutObject(ctx, "inbox", "f/g.pdf", bytes.NewReader(make([]byte, 6<<20)), -1, minio.PutObjectOptions{PartSize: 5 << 20})
			return err
		}},
		{"delete", "inbox", func() error { return c.RemoveObject(ctx, "inbox", "a/b/c.pdf", minio.RemoveObjectOptions{}) }},
		{"delete of many", "inbox", func() error {
			keys := make(chan minio.ObjectInfo, 2)
			keys <- minio.ObjectInfo{Key: "d/e.pdf"}
			keys <- minio.ObjectInfo{Key: "f/g.pdf"}
			close(keys)
			for failed := range c.RemoveObjects(ctx, "inbox", keys, minio.RemoveObjectsOptions{}) {
				return failed.Err
			}
			return nil
		}},
		{"new bucket", ". another", func() error { return client(t, s.URL(), "root").MakeBucket(ctx, "another", minio.MakeBucketOptions{}) }},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if got := d.since(); got != step.want {
			t.Errorf("%s synced %q, want %q", step.what, got, step.want)
		}
	}
}

// TestAFolderIsSyncedOnce in pdfmill's own bucket, where nobody moves it, unless it is another one. In an inbox it is each time.
func TestAFolderIsSyncedOnce(t *testing.T) {
	d := &disk{root: t.TempDir()}
	s := startS3(t, embedded.WithFsync(s3Config(d.root, embedded.Synced, (&puts{}).announce), d.fsync))
	d.since()
	c := client(t, s.URL(), "root")
	for _, step := range []struct{ bucket, key, want string }{
		{"pdfmill", "jobs/j/a", "content pdfmill pdfmill/jobs pdfmill/jobs/j pdfmill/jobs/j/a"},
		{"pdfmill", "jobs/j/b", "content pdfmill/jobs/j pdfmill/jobs/j/b"},
		{"pdfmill", "jobs/k/a", "content pdfmill/jobs pdfmill/jobs/k pdfmill/jobs/k/a"},
		{"inbox", "j/a", "content inbox inbox/j inbox/j/a"},
		{"inbox", "j/b", "content inbox inbox/j inbox/j/b"},
	} {
		mustPut(t, c, step.bucket, step.key, "x")
		if got := d.since(); got != step.want {
			t.Errorf("%s synced %q, want %q", step.key, got, step.want)
		}
	}
	jobs := filepath.Join(d.root, "pdfmill", "jobs")
	if err := os.RemoveAll(jobs); err != nil {
		t.Fatal(err)
	}
	mustPut(t, c, "pdfmill", "jobs/j/c", "x")
	if got, want := d.since(), "content pdfmill pdfmill/jobs pdfmill/jobs/j pdfmill/jobs/j/c"; got != want {
		t.Errorf("a folder in the place of a known one: synced %q, want %q", got, want)
	}
	d.fail.Store(true)
	if err := put(t, c, "pdfmill", "jobs/l/a", "x", minio.PutObjectOptions{}); err == nil {
		t.Fatal("it is not synced, and was taken")
	}
	d.fail.Store(false)
	d.since()
	mustPut(t, c, "pdfmill", "jobs/l/a", "x")
	if got, want := d.since(), "content pdfmill/jobs pdfmill/jobs/l pdfmill/jobs/l/a"; got != want {
		t.Errorf("after it failed: synced %q, want %q", got, want)
	}
}

func TestRelaxedSyncsNothing(t *testing.T) {
	d := &disk{root: t.TempDir()}
	s := startS3(t, embedded.WithFsync(s3Config(d.root, embedded.Relaxed, (&puts{}).announce), d.fsync))
	d.since()
	c := client(t, s.URL(), "user")
	mustPut(t, c, "inbox", "a/b/c.pdf", "x")
	if err := c.RemoveObject(t.Context(), "inbox", "a/b/c.pdf", minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := d.since(); got != "" {
		t.Errorf("synced %q", got)
	}
}

func TestADiskThatDoesNotSyncIsTheClientsError(t *testing.T) {
	for name, write := range waysOfWriting {
		t.Run(name, func(t *testing.T) {
			d, seen := &disk{root: t.TempDir()}, &puts{}
			s := startS3(t, embedded.WithFsync(s3Config(d.root, embedded.Synced, seen.announce), d.fsync))
			c := client(t, s.URL(), "user")
			mustPut(t, c, "inbox", "from.pdf", "body")
			d.fail.Store(true)
			if err := write(t.Context(), c); code(err) != "InternalError" {
				t.Errorf("got %v", err)
			}
			if got := seen.keys(); got != "from.pdf" {
				t.Errorf("announced %q", got)
			}
		})
	}
}

func TestNATSSyncsEachMessageUnlessRelaxed(t *testing.T) {
	for d, want := range map[embedded.Durability]bool{"": true, embedded.Synced: true, embedded.Relaxed: false} {
		if got := startNATS(t, natsConfig(t.TempDir(), d)).SyncsAlways(); got != want {
			t.Errorf("%q: %t", d, got)
		}
	}
}
