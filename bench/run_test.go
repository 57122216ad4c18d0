package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// builtBinary is the folder of the binary to measure: $PDFMILL_BIN when that is set, else it is built for this run.
func builtBinary(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("PDFMILL_BIN"); dir != "" {
		return dir
	}
	dir := t.TempDir()
	for name, path := range map[string]string{"pdfmill": "cmd/pdfmill", "pdfmill-gpu-runner": "services/gpu-runner/cmd/gpu-runner"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, name), "github.com/pdfmill/pdfmill/"+path)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	return dir
}

// smallCorpus is a corpus in the layout of a real one.
func smallCorpus(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, content []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	manifest := "file,class\n"
	for i := range 3 {
		name := fmt.Sprintf("ordinary-%d.pdf", i)
		write(name, onePage(name, 0))
		manifest += name + ",ok\n"
	}
	write("broken.pdf", []byte("%PDF-1.4\n"))
	write("manifest.csv", []byte(manifest+"broken.pdf,corrupt\n"))
	write("gt/words.pdf", onePage("Words that both should find", 0))
	write("gt/words.md", []byte("Words that both should find\n"))
	return dir
}

// TestAShortRunMeasuresEverything runs every benchmark that runs unasked on the real binary, and looks at what it leaves behind, not at the figures.
func TestAShortRunMeasuresEverything(t *testing.T) {
	out, page := t.TempDir(), filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("before\n"+beginMark+"\nformer results\n"+endMark+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := parse([]string{"--short", "--bin", builtBinary(t), "--out", out, "--page", page, "--corpus", smallCorpus(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), s, io.Discard); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "former results") || !strings.HasPrefix(string(text), "before\n") || !strings.HasSuffix(string(text), "\nafter\n") {
		t.Errorf("the page around the results is not as it was, or they are:\n%s", text)
	}
	for _, b := range benchmarks() {
		if b.asked {
			continue
		}
		var saved struct {
			Machine Machine
			Result
		}
		content, err := os.ReadFile(filepath.Join(out, b.name+".json"))
		if err == nil {
			err = json.Unmarshal(content, &saved)
		}
		if err != nil {
			t.Errorf("%s: %v", b.name, err)
			continue
		}
		if saved.Machine.Cores < 1 || saved.Machine.Pdfmill == "" || saved.Machine.Python == "" || saved.Inputs == "" || len(saved.Series) < 2 {
			t.Errorf("%s lacks the machine, a version, its inputs, or a baseline: %s", b.name, content)
		}
		for _, series := range saved.Series {
			inapplicable := b.name == "quality" && !strings.HasSuffix(series.Label, "text") // the small corpus has no headings and no tables
			if len(series.Values) == 0 && !inapplicable || series.quantile(0) < 0 {
				t.Errorf("%s: %s: %v", b.name, series.Label, series.Values)
			}
		}
		if !strings.Contains(string(text), "### "+b.name+"\n") {
			t.Errorf("%s is not on the page", b.name)
		}
	}
}

func TestQuantiles(t *testing.T) {
	s := Series{Values: []float64{5, 1, 4, 2, 3}}
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 0.95: 5, 1: 5} {
		if got := s.quantile(q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := (Series{}).median(); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
}

func TestParseNamesWhatItDoesNotKnow(t *testing.T) {
	if _, err := parse([]string{"--only", "convert,speed"}); err == nil || !strings.Contains(err.Error(), `"speed"`) {
		t.Errorf("got %v, want an error about speed", err)
	}
}
