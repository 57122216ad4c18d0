package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// report is the part of report.json that its readers rely on.
type report struct {
	Documents []struct {
		Input          string  `json:"input"`
		Outcome        string  `json:"outcome"`
		Class          string  `json:"class"`
		Message        string  `json:"message"`
		Pages          int     `json:"pages"`
		ConvertedPages int     `json:"converted_pages"`
		Seconds        float64 `json:"seconds"`
		Markdown       string  `json:"markdown"`
		FailedPages    []struct {
			Page  int    `json:"page"`
			Class string `json:"class"`
		} `json:"failed_pages"`
		Warnings []any `json:"warnings"`
	} `json:"documents"`
	Totals map[string]any `json:"totals"`
}

func readReport(t *testing.T, dir string) report {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(content, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestCorpus sends every file of the corpus through the whole pipeline, real processes and all.
func TestCorpus(t *testing.T) {
	dir, documents, err := Corpus()
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	got := rig.Run(t, 15*time.Minute, nil, "convert", dir, "-o", out)
	if got.Code != 1 {
		t.Errorf("exit %d, want 1 (some failed)\n%s", got.Code, got.Stderr)
	}
	r := readReport(t, out)
	byInput := map[string]int{}
	for i, d := range r.Documents {
		byInput[filepath.Base(d.Input)] = i
	}
	for _, d := range documents {
		i, ok := byInput[d.Name]
		if !ok {
			t.Errorf("%s is not in the report", d.Name)
			continue
		}
		one := r.Documents[i]
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
			checkProduct(t, out, d, one.Markdown)
		}
	}
	t.Logf("%d documents: %v", len(r.Documents), r.Totals)
}

func checkProduct(t *testing.T, out string, d Document, markdown string) {
	t.Helper()
	if !filepath.IsAbs(markdown) {
		if _, err := os.Stat(markdown); err != nil {
			markdown = filepath.Join(out, markdown)
		}
	}
	content, err := os.ReadFile(markdown)
	if err != nil {
		t.Errorf("%s: %v", d.Name, err)
		return
	}
	if (d.Class == "ok" || d.Class == "long") && len(strings.TrimSpace(string(content))) == 0 {
		t.Errorf("%s: the Markdown is empty", d.Name)
	}
}
