package devices

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestTheHelperIsAskedOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "uvm")
	if err := ready(file); err == nil {
		t.Error("a file that is not there")
	}
	if err := makeReady(t.Context(), file, "no-such-helper"); err == nil || !strings.Contains(err.Error(), "no-such-helper") {
		t.Errorf("%v", err)
	}
	if err := makeReady(t.Context(), file, "touch", file); err != nil {
		t.Error(err)
	}
	if err := makeReady(t.Context(), file, "no-such-helper"); err != nil {
		t.Errorf("it was there: %v", err)
	}
}
