package object_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/object"
)

func TestSpoolGivesBackWhatWasWritten(t *testing.T) {
	for name, size := range map[string]int{"empty": 0, "in memory": 10_000, "to the brim": 256 << 10, "one more": 256<<10 + 1, "in a file": 2 << 20} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			want := make([]byte, size)
			_, _ = rand.NewChaCha8([32]byte{1}).Read(want)
			s := object.NewSpool(dir)
			if _, err := io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{bytes.NewReader(want)}, make([]byte, 1<<10)); err != nil {
				t.Fatal(err)
			}
			first := s.Reader()
			if _, err := io.CopyN(io.Discard, first, int64(size/2)); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(s.Reader())
			if err != nil || !bytes.Equal(got, want) || s.Size() != int64(size) {
				t.Errorf("got %d bytes and %v, size %d, want the %d that were written", len(got), err, s.Size(), size)
			}
			if rest, err := io.ReadAll(first); err != nil || !bytes.Equal(rest, want[size/2:]) {
				t.Errorf("the first reader was disturbed: %d bytes left, %v", len(rest), err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSpoolSaysThatThereIsNoRoom(t *testing.T) {
	s := object.NewSpool(filepath.Join(t.TempDir(), "missing"))
	if n, err := s.Write(make([]byte, 1<<20)); err == nil || n != 0 {
		t.Errorf("wrote %d bytes to no place, error %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
