package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func ran(t *testing.T, c scenario) result {
	t.Helper()
	r, err := c.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func onCard(workers, jobs int) scenario {
	return scenario{law: linear, gb: 24, cards: 1, workers: workers, jobs: jobs, prior: honest, tail: usualTail, seed: 1}
}

// The targets, on few jobs: the benchmark proper has a million.
func TestTheLedgerBeatsEveryFixedPoolThatDoesNotRunOutOfMemory(t *testing.T) {
	books := ran(t, onCard(0, 40_000))
	if books.OOM != 0 || books.Lost != 0 {
		t.Errorf("%s", books)
	}
	two := ran(t, onCard(2, 40_000))
	if books.PagesPerHour < 1.5*two.PagesPerHour {
		t.Errorf("%s\n%s", books, two)
	}
	if four := ran(t, onCard(4, 40_000)); four.OOM == 0 {
		t.Errorf("the load is too light to prove anything: %s", four)
	}
}

func TestWhileLearningFromABadPriorErrorsAreRare(t *testing.T) {
	c := onCard(0, 20_000)
	c.prior = bad
	if r := ran(t, c); r.OOM > 2 {
		t.Errorf("%s", r)
	}
}

func TestTheSameSeedGivesTheSameResult(t *testing.T) {
	c := onCard(0, 5000)
	c.gb, c.cards, c.law = 80, 8, saturating
	if a, b := ran(t, c), ran(t, c); a.String() != b.String() {
		t.Errorf("%s\n%s", a, b)
	}
}

func TestLaws(t *testing.T) {
	for n, want := range map[int]float64{1: 1, 2: 1 / (2 * oneUses), 4: 1 / (4 * oneUses)} {
		if got := saturating.speed(n); got != want {
			t.Errorf("%d: %g, want %g", n, got, want)
		}
	}
	one, two := onCard(1, 3000), onCard(2, 3000)
	one.law, two.law = saturating, saturating
	if a, b := ran(t, one), ran(t, two); b.PagesPerHour > a.PagesPerHour/oneUses*1.01 || b.PagesPerHour < 1.5*a.PagesPerHour {
		t.Errorf("%s\n%s", a, b)
	}
}

func TestFilesAndPage(t *testing.T) {
	dir := t.TempDir()
	short := onCard(0, 300)
	learning := short
	learning.prior = bad
	results := []result{ran(t, short), ran(t, onCard(2, 300)), ran(t, learning)}
	for name, which := range files {
		if err := save(filepath.Join(dir, name), results, which); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "vram.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Scenarios []map[string]any }
	if err := json.Unmarshal(data, &got); err != nil || len(got.Scenarios) != 2 {
		t.Fatalf("%s: %v", data, err)
	}
	for _, field := range []string{"device_gb", "policy", "jobs", "oom", "lost", "pages_per_hour", "memory_time_used"} {
		if _, there := got.Scenarios[1][field]; !there || len(got.Scenarios[1]) != 7 {
			t.Errorf("%s in %v", field, got.Scenarios[1])
		}
	}

	page := filepath.Join(dir, "vram.md")
	if err := os.WriteFile(page, []byte("before "+beginMark+"old"+endMark+" after"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writePage(t.Context(), page, results, true); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(page)
	if s := string(text); !strings.HasPrefix(s, "before") || !strings.HasSuffix(s, "after") || strings.Contains(s, "old") || !strings.Contains(s, "| fixed-2 |") {
		t.Errorf("%s", s)
	}
	svg, err := os.Open(filepath.Join(dir, "vram.svg"))
	if err != nil {
		t.Fatal(err)
	}
	defer svg.Close()
	polygons := 0
	for d := xml.NewDecoder(svg); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, is := token.(xml.StartElement); is && e.Name.Local == "polygon" {
			polygons++
		}
	}
	if polygons != 2*len(layers) {
		t.Errorf("%d areas in the picture", polygons)
	}
}
