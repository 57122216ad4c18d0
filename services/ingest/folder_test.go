package ingest

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// watching is a bench whose passes are far apart: after the first, only events find files.
func watching(t *testing.T) (*bench, *Service) {
	t.Helper()
	b := newBench(t)
	b.config.ScanInterval = time.Hour
	s, _ := b.start()
	pipelinetest.Eventually(t, "the first pass is over", func() bool { return s.scans.Load() == 1 })
	return b, s
}

// found waits for a file to be handed on.
func (b *bench) found(key string) event.Ingested {
	b.t.Helper()
	var found event.Ingested
	pipelinetest.Eventually(b.t, key+" is ingested", func() bool {
		for _, m := range b.ingested() {
			if m.Source.Key == key {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

func (b *bench) has(key string) bool {
	b.t.Helper()
	for _, m := range b.ingested() {
		if m.Source.Key == key {
			return true
		}
	}
	return false
}

func TestACopiedFileIsSeen(t *testing.T) {
	t.Parallel()
	b, s := watching(t)
	b.write("copied.pdf", "by cp")
	m := b.found("copied.pdf")
	if m.Source.ETag != "" || m.Source.SHA256 != sha("by cp") || b.kept(m) != "by cp" {
		t.Errorf("source %+v", m.Source)
	}
	pipelinetest.Eventually(t, "the hint is counted", func() bool { return s.hints.sent.Load() == 1 })
}

func TestNewFoldersAreWatched(t *testing.T) {
	t.Parallel()
	b, _ := watching(t)
	b.write("new/one.pdf", "1")
	b.found("new/one.pdf")
	b.write("new/two.pdf", "2")
	b.found("new/two.pdf")
	elsewhere := t.TempDir()
	if err := os.MkdirAll(filepath.Join(elsewhere, "tree", "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(elsewhere, "tree", "below", "three.pdf"), []byte("3"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(elsewhere, "tree"), filepath.Join(b.dir, "moved")); err != nil {
		t.Fatal(err)
	}
	b.found("moved/below/three.pdf")
	b.write("moved/below/four.pdf", "4")
	b.found("moved/below/four.pdf")
}

func TestAFileThatSomebodyWritesWaits(t *testing.T) {
	t.Parallel()
	b, _ := watching(t)
	slow, err := os.Create(filepath.Join(b.dir, "slow.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := slow.WriteString("first half, "); err != nil {
		t.Fatal(err)
	}
	// This one came later, and is found: so the other would have been.
	b.write("quick.pdf", "x")
	b.found("quick.pdf")
	if b.has("slow.pdf") {
		t.Fatal("taken while it was open for writing")
	}
	if _, err := slow.WriteString("second half"); err != nil {
		t.Fatal(err)
	}
	if err := slow.Close(); err != nil {
		t.Fatal(err)
	}
	if m := b.found("slow.pdf"); b.kept(m) != "first half, second half" {
		t.Errorf("kept %q", b.kept(m))
	}
}

func TestWritingIsSeen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(want bool) {
		t.Helper()
		if open, err := writing(path); open != want || err != nil {
			t.Errorf("open for writing: %v, %v, want %v", open, err, want)
		}
	}
	ask(false)
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	ask(true)
	file.Close()
	ask(false)
	if file, err = os.Open(path); err != nil { // a reader is no writer
		t.Fatal(err)
	}
	defer file.Close()
	ask(false)
}

func TestARenameIntoPlaceIsOneDrop(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s, _ := b.start()
	for _, temporary := range []string{"a.pdf.part", "b.tmp", ".c.pdf", "d.pdf.crdownload", "e.pdf.filepart", "f.pdf~", ".g.pdf.swp", "h.PDF.PART", ".hidden/i.pdf", ".sgwtmp/j.pdf"} {
		b.write(temporary, "content of "+temporary)
	}
	b.write("sentinel.pdf", "x")
	b.await(s, 1)
	if n := s.Skipped(); n < 10 {
		t.Errorf("%d skipped, want all 10", n)
	}
	if err := os.Rename(filepath.Join(b.dir, "a.pdf.part"), filepath.Join(b.dir, "a.pdf")); err != nil {
		t.Fatal(err)
	}
	if m := b.await(s, 2)[1]; m.Source.Key != "a.pdf" || b.kept(m) != "content of a.pdf.part" {
		t.Errorf("ingested %+v", m.Source)
	}
}

func TestLinksAndSpecialFilesAreNotTaken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret.pdf"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.write("real.pdf", "x")
	for name, to := range map[string]string{
		"file.pdf": filepath.Join(outside, "secret.pdf"), "folder": outside, "dangling.pdf": "nowhere", "inside.pdf": "real.pdf", "self.pdf": "self.pdf",
	} {
		if err := os.Symlink(to, filepath.Join(b.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(b.dir, "pipe.pdf"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.write("bad\xff.pdf", "x")
	s, _ := b.start()
	if m := b.await(s, 1)[0]; m.Source.Key != "real.pdf" {
		t.Errorf("ingested %+v", m.Source)
	}
	if s.Skipped() != 7 || len(b.failed()) > 0 {
		t.Errorf("%d skipped, want 7; failed %+v", s.Skipped(), b.failed())
	}
	for _, name := range []string{"file.pdf", "folder", "dangling.pdf", "inside.pdf", "self.pdf", "pipe.pdf"} {
		if n := strings.Count(b.logs.String(), "key="+name+" "); n != 1 {
			t.Errorf("%s is in the log %d times, want once", name, n)
		}
	}
}

// A put through a linked folder was accepted by the gateway, so that its end must be seen.
func TestAPutThroughALinkFailsVisibly(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	if err := os.Symlink(t.TempDir(), filepath.Join(b.dir, "folder")); err != nil {
		t.Fatal(err)
	}
	b.put("folder/a.pdf", "x", nil)
	s, stop := b.start()
	if f := b.ending(s, stop); !strings.Contains(f.Message, "symbolic link") {
		t.Errorf("failed %+v", f)
	}
}

func TestOverwrittenInPlace(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	s, _ := b.start()
	b.put("put.pdf", "through the gateway", nil)
	first := b.await(s, 1)[0]
	b.write("put.pdf", "in place") // its ETag stays
	second := b.await(s, 2)[1]
	if second.Source.ETag != first.Source.ETag || second.Source.SHA256 != sha("in place") {
		t.Errorf("first %+v, then %+v", first.Source, second.Source)
	}
}

// A file that changes within the second in which it was read, and keeps its size, looks the same ever after.
func TestAChangeThatCanNotBeSeenIsFound(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	path := b.write("racy.pdf", "aaaa")
	b.write("steady.pdf", "bbbb")
	var clock atomic.Int64 // stands still, however long this takes
	clock.Store(time.Now().UnixNano())
	b.now = func() time.Time { return time.Unix(0, clock.Load()) }
	s, _ := b.start()
	b.await(s, 2)
	if !b.taken("racy.pdf").Racy {
		t.Fatal("it was taken at once, and not noted as racy")
	}
	about, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	b.write("racy.pdf", "cccc")
	if err := os.Chtimes(path, about.ModTime(), about.ModTime()); err != nil {
		t.Fatal(err)
	}
	clock.Add(int64(racyWindow + time.Second)) // whole seconds, rounded up
	pipelinetest.Eventually(t, "the second looks are over", func() bool { return !b.taken("racy.pdf").Racy && !b.taken("steady.pdf").Racy })
	all := b.await(s, 3)
	if m := all[2]; m.Source.Key != "racy.pdf" || m.Source.SHA256 != sha("cccc") || m.Source.ETag != "" {
		t.Errorf("ingested %+v", m.Source)
	}
}

func TestWithoutEventsPassesFindFiles(t *testing.T) {
	t.Parallel()
	b := newBench(t) // nothing is announced
	b.config.Directories = nil
	s, _ := b.start()
	b.put("put.pdf", "put", nil)
	b.write("copied.pdf", "copied")
	b.await(s, 2)
}
