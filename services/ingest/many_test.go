package ingest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// fill puts so many files into the folder of an inbox, spread over a few folders.
func (b *bench) fill(files int) {
	b.t.Helper()
	const folders = 4
	for d := range folders {
		dir := filepath.Join(b.dir, fmt.Sprint(d))
		if err := os.Mkdir(dir, 0o700); err != nil {
			b.t.Fatal(err)
		}
		for i := range files / folders {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%06d.pdf", i)), []byte("x"), 0o600); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// TestManyFiles: an inbox of several pages of the listing and several batches of hints. Nobody handles the hints here. That the second pass finds nothing new
// also shows that the listing, the store and the folder tell the same of a file.
func TestManyFiles(t *testing.T) {
	const files = 2400
	b := newBench(t)
	b.fill(files)
	s := b.service()
	if err := s.newListing(inbox{bucket: b.bucket}).pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.hints.sent.Load(); n != files {
		t.Fatalf("%d hints, want %d", n, files)
	}
	f := s.newFolder(b.bucket, b.dir)
	if err := f.walk(b.dir); err != nil {
		t.Fatal(err)
	}
	f.look(t.Context())
	if n := s.hints.sent.Load(); n != files || len(f.waiting) > 0 {
		t.Errorf("the second pass published %d hints, %d files wait", n-files, len(f.waiting))
	}
}

// An object is whole when it is there, unlike a file: a listing takes it whatever its name is, as the event of its put does.
func TestAListingTakesEveryName(t *testing.T) {
	b := newBench(t)
	for _, key := range []string{".hidden.pdf", ".folder/a.pdf", "a.pdf.part", "b.pdf~"} {
		b.put(key, "content of "+key, nil)
	}
	s := b.service()
	if err := s.newListing(inbox{bucket: b.bucket}).pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.hints.sent.Load(); n != 4 {
		t.Errorf("%d hints, want 4", n)
	}
}

// BenchmarkFullInbox is what passes over 100,000 files that are known already cost.
func BenchmarkFullInbox(b *testing.B) {
	const files = 100_000
	p := newBench(b)
	p.fill(files)
	s := p.service()
	listing, folder := s.newListing(inbox{bucket: p.bucket}), s.newFolder(p.bucket, p.dir)
	if err := listing.pass(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Run("listing of the bucket", func(b *testing.B) {
		for b.Loop() {
			if err := listing.pass(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("pass over the folder", func(b *testing.B) {
		for b.Loop() {
			if err := folder.walk(folder.dir); err != nil {
				b.Fatal(err)
			}
		}
	})
	if n := s.hints.sent.Load(); n != files {
		b.Errorf("%d hints for %d files", n, files)
	}
}
