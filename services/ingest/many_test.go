package ingest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// TestManyFiles: what passes over a full inbox cost. Nobody handles the hints here. That the second pass finds nothing new also shows that the listing, the store
// and the folder tell the same of a file.
func TestManyFiles(t *testing.T) {
	const files, folders = 100_000, 4
	b := newBench(t)
	for d := range folders {
		dir := filepath.Join(b.dir, fmt.Sprint(d))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for i := range files / folders {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%06d.pdf", i)), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := b.service()
	f := s.newFolder(b.bucket, b.dir)
	measure := func(what string, do func()) {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		started := time.Now()
		do()
		took := time.Since(started)
		runtime.GC()
		runtime.ReadMemStats(&after)
		t.Logf("%-28s %8.2f s, %4d MB more in use, %d hints so far", what, took.Seconds(), (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>20, s.hints.sent.Load())
	}
	measure("first listing of the bucket", func() {
		if err := s.newListing(b.bucket).pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if n := s.hints.sent.Load(); n != files {
		t.Fatalf("%d hints, want %d", n, files)
	}
	measure("pass over the folder", func() {
		if err := f.walk(b.dir); err != nil {
			t.Fatal(err)
		}
		f.look(t.Context())
	})
	if n := s.hints.sent.Load(); n != files || len(f.waiting) > 0 {
		t.Errorf("the second pass published %d hints, %d files wait", n-files, len(f.waiting))
	}
}
