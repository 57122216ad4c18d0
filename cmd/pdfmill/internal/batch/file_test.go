package batch

import (
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// TestWhatCouldNotBeWritten: a full disk is said with what to do about it, and the name of a temporary file is nobody's business.
func TestWhatCouldNotBeWritten(t *testing.T) {
	for _, c := range []struct {
		cause error
		want  string
	}{
		{syscall.ENOSPC, "write out/a.md: no space left on device (make room there; the same command again goes on)"},
		{syscall.EIO, "write out/a.md: input/output error"},
	} {
		if got := unwritten("out/a.md", &fs.PathError{Op: "write", Path: "out/.a.md.X.tmp", Err: c.cause}).Error(); !strings.EqualFold(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
