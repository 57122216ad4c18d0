package supervise_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pdfmill/pdfmill/services/gpu-runner/fakechild"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise/supervisetest"
)

func TestFakechildConforms(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	supervisetest.RunConformance(t, supervisetest.Subject{
		Command: supervise.Command{Path: self, Env: []string{fakechild.Config{}.Env(), "GORACE=atexit_sleep_ms=0"}},
		Engine:  "null", PDF: filepath.Join(t.TempDir(), "any.pdf"), Pages: 3,
	})
}
