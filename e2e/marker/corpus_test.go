//go:build marker

package marker

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e"
	"github.com/pdfmill/pdfmill/e2e/rig"
)

// few are so many documents of each class that some of every kind are there, and it takes a minute.
var few = map[string]int{
	"ok": 3, "scanned": 1, "exotic": 2, "corrupt": 2, "not-pdf": 1, "zero-byte": 1, "encrypted-user-password": 1, "encrypted-empty-password": 1,
}

// chosen are the documents that are sent: a dozen small ones, or those with at most as many pages as PDFMILL_MARKER_PAGES says, and all with reference Markdown.
func chosen(t *testing.T, dir string, documents []e2e.Document) (some []e2e.Document) {
	t.Helper()
	if most := os.Getenv("PDFMILL_MARKER_PAGES"); most != "" {
		pages, err := strconv.Atoi(most)
		if err != nil {
			t.Fatalf("PDFMILL_MARKER_PAGES is %q, want a number", most)
		}
		references, err := filepath.Glob(filepath.Join(dir, "gt", "*.pdf"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range references {
			documents = append(documents, e2e.Document{Path: path, Name: filepath.Base(path), Class: "ok"})
		}
		return slices.DeleteFunc(documents, func(d e2e.Document) bool { return d.Pages > pages && d.Class != "exotic" })
	}
	taken := map[string]int{}
	for _, d := range documents {
		if d.Pages <= 3 && taken[d.Class] < few[d.Class] {
			taken[d.Class]++
			some = append(some, d)
		}
	}
	return some
}

// result is what became of a document, as report.json has it.
type result struct {
	Input          string `json:"input"`
	Outcome        string `json:"outcome"`
	Class          string `json:"class"`
	Message        string `json:"message"`
	Pages          int    `json:"pages"`
	ConvertedPages int    `json:"converted_pages"`
	Markdown       string `json:"markdown"`
	FailedPages    []struct {
		Page  int    `json:"page"`
		Class string `json:"class"`
	} `json:"failed_pages"`
	Warnings []struct {
		Page    int    `json:"page"`
		Warning string `json:"warning"`
	} `json:"warnings"`
}

// Every document of the corpus ends as its class says, through the whole pipeline with marker's real code.
func TestCorpus(t *testing.T) {
	each(t, func(t *testing.T, p *plant) {
		dir, documents, err := e2e.Corpus()
		if err != nil {
			t.Fatal(err)
		}
		documents = chosen(t, dir, documents)
		out := t.TempDir()
		args := []string{"convert", "-o", out, "--engine", "marker"}
		for _, d := range documents {
			args = append(args, d.Path)
		}
		began := time.Now()
		running := rig.Start(t, p.env, rig.Binary(t, "pdfmill"), args...)
		code := running.Wait(3 * time.Hour) // the worst machine; go test has its own bound
		if code != 0 && code != 1 {
			t.Fatalf("exit %d", code)
		}
		var report struct {
			Documents []result `json:"documents"`
		}
		content, err := os.ReadFile(filepath.Join(out, "report.json"))
		if err == nil {
			err = json.Unmarshal(content, &report)
		}
		if err != nil {
			t.Fatal(err)
		}
		byName := map[string]result{}
		for _, r := range report.Documents {
			byName[filepath.Base(r.Input)] = r
		}
		classes := map[string]*tally{}
		for _, d := range documents {
			r, found := byName[d.Name]
			if !found {
				t.Errorf("%s is not in the report", d.Name)
				continue
			}
			judge(t, d, r)
			if classes[d.Class] == nil {
				classes[d.Class] = &tally{outcomes: map[string]int{}, pages: map[string]int{}}
			}
			classes[d.Class].add(t, r)
		}
		t.Logf("%s: %d documents in %s", p.name, len(documents), time.Since(began).Round(time.Second))
		for _, class := range slices.Sorted(maps.Keys(classes)) {
			t.Logf("  %-24s documents %v, pages %v", class, classes[class].outcomes, classes[class].pages)
		}
	})
}

// tally counts what became of the documents of a class, and of their pages by what is to be said about them: converted, failed, and each warning.
type tally struct{ outcomes, pages map[string]int }

func (c *tally) add(t *testing.T, r result) {
	t.Helper()
	c.outcomes[outcome(r)]++
	c.pages["converted"] += r.ConvertedPages
	remarkable := map[string][]int{}
	for _, f := range r.FailedPages {
		remarkable["failed: "+f.Class] = append(remarkable["failed: "+f.Class], f.Page)
	}
	for _, w := range r.Warnings {
		remarkable[w.Warning] = append(remarkable[w.Warning], w.Page)
	}
	for what, pages := range remarkable {
		c.pages[what] += len(pages)
		t.Logf("  %s: %s %v", filepath.Base(r.Input), what, pages)
	}
}

// outcome is "converted", or the class of the failure.
func outcome(r result) string {
	if r.Outcome == "failed" {
		return r.Class
	}
	return r.Outcome
}

func judge(t *testing.T, d e2e.Document, r result) {
	t.Helper()
	if allowed := e2e.Allowed(d.Class); !slices.Contains(allowed, outcome(r)) {
		t.Errorf("%s (%s): %s, want one of %v: %s", d.Name, d.Class, outcome(r), allowed, r.Message)
	}
	if r.Outcome == "failed" && len(r.Message) < 10 {
		t.Errorf("%s failed without saying why: %q", d.Name, r.Message)
	}
	if r.Outcome != "converted" || (d.Class != "ok" && d.Class != "long") {
		return
	}
	content, err := os.ReadFile(r.Markdown)
	if err != nil || strings.TrimSpace(string(content)) == "" {
		t.Errorf("%s: the Markdown is empty, %v", d.Name, err)
	}
	if d.Pages > 0 && (r.Pages != d.Pages || r.ConvertedPages+len(r.FailedPages) != d.Pages) {
		t.Errorf("%s has %d pages; the report says %d, %d converted, %d failed", d.Name, d.Pages, r.Pages, r.ConvertedPages, len(r.FailedPages))
	}
}
