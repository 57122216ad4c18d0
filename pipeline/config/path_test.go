package config

import (
	"io"
	"path/filepath"
	"testing"
)

// TestNoPathIsNone: an environment that sets the variable of a path to nothing sets no path; one that is relative is made absolute.
func TestNoPathIsNone(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for text, want := range map[string]string{"": "", "ca.pem": filepath.Join(dir, "ca.pem"), "/etc/ca.pem": "/etc/ca.pem"} {
		t.Setenv("PDFMILL_NATS_CA", text)
		var p struct{ Platform }
		if done, err := Parse("test", "", &p, nil, io.Discard); done || err != nil || p.NATS.CA != want {
			t.Errorf("%q is %q, %v, want %q", text, p.NATS.CA, err, want)
		}
	}
}
