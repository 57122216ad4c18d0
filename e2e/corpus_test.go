package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// mostResident bounds the memory of each kind of process. The worker's and the sandbox' own limits (2 GiB, 256 MiB) are on what they allocate for a
// document; what their programs need comes on top.
var mostResident = rig.Peaks{"pdfmill": 512 << 20, "probe": 512 << 20, "python": 2560 << 20}

// TestCorpus sends every file of the corpus through the whole pipeline, real processes and all.
func TestCorpus(t *testing.T) {
	dir, documents, err := Corpus()
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	running := rig.Start(t, nil, rig.Binary(t, "pdfmill"), "convert", dir, "-o", out)
	peaks := rig.WatchMemory(t, running.PID())
	code := running.Wait(15 * time.Minute)
	for kind, most := range peaks() {
		t.Logf("most memory resident in a process: %-8s %4d MB", kind, most>>20)
		if bound := mostResident[kind]; most > bound {
			t.Errorf("%s had %d MB resident, the bound is %d", kind, most>>20, bound>>20)
		}
	}
	if code != 1 {
		t.Errorf("exit %d, want 1 (some failed)", code)
	}
	r := readReport(t, out)
	byInput := map[string]document{}
	for _, d := range r.Documents {
		byInput[filepath.Base(d.Input)] = d
	}
	for _, d := range documents {
		one, ok := byInput[d.Name]
		if !ok {
			t.Errorf("%s is not in the report", d.Name)
			continue
		}
		outcome := one.Outcome
		if outcome == "failed" {
			outcome = one.Class
		}
		if !slices.Contains(Allowed(d.Class), outcome) {
			t.Errorf("%s (%s): %s, want one of %v: %s", d.Name, d.Class, outcome, Allowed(d.Class), one.Message)
		}
		if one.Outcome == "failed" && len(one.Message) < 10 {
			t.Errorf("%s failed without saying why: %q", d.Name, one.Message)
		}
		if one.Outcome == "converted" {
			checkProduct(t, d, one)
		}
	}
	if len(r.Unfinished) > 0 {
		t.Errorf("unfinished: %q", r.Unfinished)
	}
	t.Logf("%d documents: %+v", len(r.Documents), r.Totals)
}

// checkProduct compares what was written with what the manifest knows of the document.
func checkProduct(t *testing.T, d Document, one document) {
	t.Helper()
	content, err := os.ReadFile(one.Markdown)
	if err != nil {
		t.Errorf("%s: %v", d.Name, err)
		return
	}
	if (d.Class == "ok" || d.Class == "long") && len(strings.TrimSpace(string(content))) == 0 {
		t.Errorf("%s: the Markdown is empty", d.Name)
	}
	if (d.Class == "ok" || d.Class == "long") && d.Pages > 0 && (one.Pages != d.Pages || one.ConvertedPages+len(one.FailedPages) != d.Pages) {
		t.Errorf("%s has %d pages; the report says %d, %d converted, %d failed", d.Name, d.Pages, one.Pages, one.ConvertedPages, len(one.FailedPages))
	}
}
