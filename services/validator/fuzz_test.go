package validator_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/services/validator"
	"github.com/pdfmill/pdfmill/services/validator/mutant"
)

// holds checks what must be true of a report on any file whatever.
func holds(t *testing.T, r validator.Report) {
	t.Helper()
	if (r.Verdict == validator.VerdictOK) != (r.Class == "") || !utf8.ValidString(r.Message) || (r.Class != "" && (r.Message == "" || !r.Class.Valid())) {
		t.Fatalf("verdict %q, class %q, message %q", r.Verdict, r.Class, r.Message)
	}
	if r.Verdict != validator.VerdictOK {
		return
	}
	var lost []pages.Range
	for _, p := range r.Facts.Failed {
		if !p.Class.Valid() || p.Message == "" {
			t.Fatalf("failed page %+v", p)
		}
		lost = append(lost, pages.Range{First: p.Page, Last: p.Page})
	}
	planned, total := pages.Union(r.Plan...), 0
	for _, p := range r.Plan {
		total += p.Len()
	}
	all := pages.Union(append(slices.Clone(r.Plan), lost...)...)
	if !all.Covers(pages.Set{{First: 1, Last: r.Pages}}) || all.Last() != r.Pages || total != planned.Len() || total+len(lost) != r.Pages {
		t.Fatalf("plan %v and failed pages %v do not cover 1-%d once", r.Plan, lost, r.Pages)
	}
}

// hasty limits keep every document below the ten seconds after which Go takes a fuzzed function for hung, on a busy machine as well.
func hasty() validator.Limits {
	l := validator.DefaultLimits()
	l.MaxTime, l.MaxPageTime, l.FactsTime, l.MaxPages = 2*time.Second, time.Second, time.Second, 1000
	return l
}

// hastily returns an inspector with hasty limits that has started: a first start compiles PDFium, which may take longer than Go lets a fuzzed function run.
func hastily(f *testing.F) *validator.Inspector {
	f.Helper()
	inspector := newInspector(f, hasty())
	if err := inspector.Warm(f.Context()); err != nil {
		f.Fatal(err)
	}
	return inspector
}

// seeds are the small documents of the corpus, and documents made here.
func seeds(t testing.TB) [][]byte {
	out := [][]byte{plain(1).bytes(), plain(3).bytes(), read(t, locked)}
	for _, d := range corpus(t) {
		if info, err := os.Stat(d.path); err == nil && info.Size() > 0 && info.Size() < 100<<10 {
			out = append(out, read(t, d.path))
		}
	}
	return out
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// FuzzDocument sends mutants of real documents through the whole validator. A crash of a probe is a verdict, one of this process, a hang or a hole in the plan a find.
func FuzzDocument(f *testing.F) {
	documents := seeds(f)
	inspector, dir := hastily(f), f.TempDir()
	for i := range 8 {
		f.Add(uint64(i), uint16(i))
	}
	f.Fuzz(func(t *testing.T, seed uint64, which uint16) {
		path := filepath.Join(dir, "mutant.pdf")
		if err := os.WriteFile(path, mutant.Of(documents[int(which)%len(documents)], seed), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := inspector.Check(t.Context(), validator.Request{Path: path}, 8)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, r)
	})
}

// FuzzBytes sends any bytes through it.
func FuzzBytes(f *testing.F) {
	f.Add([]byte("%PDF-1.7\n"))
	f.Add([]byte("<html>%PDF-"))
	f.Add(plain(1).bytes())
	f.Add(bytes.Repeat([]byte("%PDF-startxref 9 /Filter/Standard /V 9 %%EOF"), 10))
	inspector, dir := hastily(f), f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(dir, "bytes.pdf")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := inspector.Check(t.Context(), validator.Request{Path: path}, 8)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, r)
	})
}

// TestMutantsAreHandled is the fuzzing that every run does, the same each time.
func TestMutantsAreHandled(t *testing.T) {
	documents, inspector := seeds(t), newInspector(t, hasty())
	verdicts, dir := map[failure.Class]int{}, t.TempDir()
	for seed := range uint64(150) {
		path := filepath.Join(dir, "mutant.pdf")
		if err := os.WriteFile(path, mutant.Of(documents[seed%uint64(len(documents))], seed), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := inspector.Check(t.Context(), validator.Request{Path: path}, 8)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		holds(t, r)
		verdicts[r.Class]++
	}
	t.Logf("verdicts: %v", verdicts)
	if verdicts[""] == 0 || verdicts[failure.PDFCorrupt] == 0 {
		t.Errorf("verdicts %v: are these mutants?", verdicts)
	}
}
