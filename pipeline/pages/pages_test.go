package pages_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/pdfmill/pdfmill/pipeline/pages"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "1-20,35": "1-20,35", " 3 , 1-2 ": "1-3", "5,5,5": "5", "1-3,2-9": "1-9", "7-8,9": "7-9",
	} {
		got, err := pages.Parse(text)
		if err != nil || got.String() != want {
			t.Errorf("Parse(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"0", "3-1", "a", "1-", "-1", "1--2", "1000001", "1,,2"} {
		if got, err := pages.Parse(text); err == nil {
			t.Errorf("Parse(%q) = %q, want an error", text, got)
		}
	}
}

// genSet draws ranges within 1..60, so that overlaps are common.
func genSet(t *rapid.T, label string) (pages.Set, map[int]bool) {
	members := map[int]bool{}
	var ranges []pages.Range
	for range rapid.IntRange(0, 6).Draw(t, label) {
		first := rapid.IntRange(1, 60).Draw(t, "first")
		r := pages.Range{First: first, Last: first + rapid.IntRange(0, 12).Draw(t, "more")}
		ranges = append(ranges, r)
		for p := r.First; p <= r.Last; p++ {
			members[p] = true
		}
	}
	return pages.Union(ranges...), members
}

// TestSetsAgreeWithPlainSets holds every operation against a map of page numbers.
func TestSetsAgreeWithPlainSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, inA := genSet(t, "a")
		b, inB := genSet(t, "b")
		less := a.Subtract(b)
		covers := true
		for p := 1; p <= 80; p++ {
			if a.Contains(p) != inA[p] {
				t.Fatalf("%s contains %d: %v", a, p, a.Contains(p))
			}
			if want := inA[p] && !inB[p]; less.Contains(p) != want {
				t.Fatalf("%s − %s = %s: page %d", a, b, less, p)
			}
			covers = covers && (!inB[p] || inA[p])
		}
		if a.Covers(b) != covers {
			t.Fatalf("%s covers %s: %v", a, b, a.Covers(b))
		}
		if a.Len() != len(inA) {
			t.Fatalf("%s has %d pages, want %d", a, a.Len(), len(inA))
		}
		back, err := pages.Parse(a.String())
		if err != nil || back.String() != a.String() {
			t.Fatalf("%q read back as %q: %v", a, back, err)
		}
	})
}

func TestSplitCoversOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.IntRange(1, 1000).Draw(t, "first")
		r := pages.Range{First: first, Last: first + rapid.IntRange(0, 500).Draw(t, "more")}
		a, b, ok := r.Split()
		if ok != (r.Len() > 1) {
			t.Fatalf("split %s: %v", r, ok)
		}
		if ok && (a.First != r.First || a.Last+1 != b.First || b.Last != r.Last || !a.Valid() || !b.Valid()) {
			t.Fatalf("split %s = %s + %s", r, a, b)
		}
		if back, err := pages.ParseDir(r.Dir()); err != nil || back != r {
			t.Fatalf("%s as a folder is %s, read back as %s: %v", r, r.Dir(), back, err)
		}
	})
}
