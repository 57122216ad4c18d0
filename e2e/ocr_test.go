//go:build ocr

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// Where the ocr engine is served, auto has it read the pages that have no text layer, and the manifest says who made which page, and why. `make test-ocr` installs it.
func TestAutoHasScansRecognised(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mixed.pdf")
	if out, err := exec.CommandContext(t.Context(), "qpdf", "--empty", "--pages", "../samples/report.pdf", "1", "../samples/scan.pdf", "1", "--", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := rig.UpWithin(t, 10*time.Minute, nil, t.TempDir(), "--serve", "text,ocr", "--engines", "text,ocr")
	events := rig.Subscribe(t, p.NATS())
	p.Put("mixed.pdf", content, nil)
	e := events.Await("inbox/mixed.pdf", 1)
	var m struct {
		PageList []struct {
			Engine   string   `json:"engine"`
			Kind     string   `json:"kind"`
			Warnings []string `json:"warnings"`
			Fidelity *float64 `json:"fidelity"`
		} `json:"page_list"`
	}
	bucket := manifestOf(t, p, e, &m)
	if len(m.PageList) != 2 {
		t.Fatalf("%+v", m)
	}
	written, scanned := m.PageList[0], m.PageList[1]
	if written.Engine != "text" || written.Fidelity == nil || len(written.Warnings) > 0 {
		t.Errorf("the written page: %+v", written)
	}
	if scanned.Engine != "ocr" || scanned.Kind != "scanned" || scanned.Fidelity != nil || len(scanned.Warnings) > 0 {
		t.Errorf("the scanned page: %+v", scanned)
	}
	markdown := string(fetch(t, p, bucket, e.Body["markdown"].(map[string]any)["key"].(string)))
	for _, words := range []string{"Water flow in the first quarter", "RECEIPT No. 4711", "sacks of flour"} {
		if !strings.Contains(markdown, words) {
			t.Errorf("%q is not in\n%s", words, markdown)
		}
	}
}
