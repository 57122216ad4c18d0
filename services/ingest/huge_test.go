package ingest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// TestFiveGigabytesAreNotEvenRead: what is larger than the limit is refused by its size alone, and fills no scratch folder.
func TestFiveGigabytesAreNotEvenRead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.MaxBytes, b.config.Scratch = 2<<30, t.TempDir() // the default of those who set none
	file, err := os.Create(filepath.Join(t.TempDir(), "huge.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Truncate(5<<30), file.Close()); err != nil { // a hole: it takes no room
		t.Fatal(err)
	}
	if err := os.Rename(file.Name(), filepath.Join(b.dir, "huge.pdf")); err != nil {
		t.Fatal(err)
	}
	s, stop := b.start()
	f := b.ending(s, stop)
	if f.Class != failure.LimitBytes || !strings.Contains(f.Message, "5368709120 bytes") || !strings.Contains(f.Message, "limit of 2147483648") {
		t.Errorf("failed %+v", f)
	}
	left, err := os.ReadDir(b.config.Scratch)
	if err != nil || len(left) > 0 {
		t.Errorf("scratch holds %v: %v", left, err)
	}
}
