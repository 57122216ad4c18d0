package plan_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/services/validator/plan"
)

func TestRangesCoverEachPageOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var parts []pages.Range
		for range rapid.IntRange(1, 20).Draw(t, "parts") {
			first := rapid.IntRange(1, 20_000).Draw(t, "first")
			parts = append(parts, pages.Range{First: first, Last: first + rapid.IntRange(0, 10_000).Draw(t, "more")})
		}
		want := pages.Union(parts...)
		limit := rapid.IntRange(1, 64).Draw(t, "limit")
		var known []facts.Page
		for range rapid.IntRange(0, 50).Draw(t, "known") {
			known = append(known, facts.Page{
				Page: rapid.IntRange(1, 30_000).Draw(t, "page"), Width: rapid.Float64Range(1, 1e5).Draw(t, "width"), Height: 800,
				Chars: rapid.IntRange(-1, 500_000).Draw(t, "chars"), Pixels: rapid.Int64Range(0, 6e8).Draw(t, "pixels"),
			})
		}
		w := plan.Weigh(known)
		got := plan.Ranges(want, limit, w)
		if again := plan.Ranges(want, limit, w); !slices.Equal(got, again) {
			t.Fatalf("the same document was cut in two ways: %v, %v", got, again)
		}
		total, last := 0, 0
		for _, r := range got {
			if !r.Valid() || r.First <= last {
				t.Fatalf("range %s after page %d", r, last)
			}
			total, last = total+r.Len(), r.Last
		}
		if !pages.Union(got...).Covers(want) || total != want.Len() {
			t.Fatalf("%d pages in ranges, want %d", total, want.Len())
		}
		if len(got) > plan.MaxRanges {
			t.Fatalf("%d ranges", len(got))
		}
	})
}

func TestRangesAreFilledEvenly(t *testing.T) {
	got := plan.Ranges(pages.Set{{First: 1, Last: 33}, {First: 40, Last: 40}}, 32, plan.Weights{})
	want := []pages.Range{{First: 1, Last: 17}, {First: 18, Last: 33}, {First: 40, Last: 40}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestHeavyPagesMakeShorterRanges(t *testing.T) {
	list := make([]facts.Page, 40)
	for i := range list {
		list[i] = facts.Page{Page: i + 1, Width: 595, Height: 842, Chars: 2500}
	}
	for i := 10; i < 20; i++ {
		list[i].Chars, list[i].Pixels = 0, 80_000_000 // a scan at 600 dpi, in colour
	}
	list[30].Chars = 400_000
	want := pages.Set{{First: 1, Last: 40}}
	got := plan.Ranges(want, 16, plan.Weigh(list))
	for _, r := range got {
		weight := 0.0
		for p := r.First; p <= r.Last; p++ {
			weight += plan.Of(list[p-1])
		}
		if weight > 16.001 && r.Len() > 1 {
			t.Errorf("range %s costs %.1f pages", r, weight)
		}
	}
	if !slices.Contains(got, pages.Range{First: 31, Last: 31}) {
		t.Errorf("the page with 400,000 characters is not alone: %v", got)
	}
	if plain := plan.Ranges(want, 16, plan.Weights{}); len(plain) >= len(got) || len(plain) != 3 {
		t.Errorf("%d ranges by weight, %d by count", len(got), len(plain))
	}
}

// tabled is a document with tables that go on over the page boundaries given.
func tabled(pages int, over ...int) []facts.Page {
	list := make([]facts.Page, pages)
	for i := range list {
		list[i] = facts.Page{Page: i + 1, Width: 595, Height: 842, Chars: 2000}
	}
	for _, p := range over {
		list[p-1].GridEnd, list[p].GridBegin = 5, 4
	}
	return list
}

func TestACutGoesBesideATable(t *testing.T) {
	want := pages.Set{{First: 1, Last: 40}}
	for _, c := range []struct {
		over []int
		want []pages.Range
	}{
		{nil, []pages.Range{{First: 1, Last: 20}, {First: 21, Last: 40}}},
		{[]int{20}, []pages.Range{{First: 1, Last: 19}, {First: 20, Last: 40}}},
		{[]int{19, 20}, []pages.Range{{First: 1, Last: 18}, {First: 19, Last: 40}}},
		// A table of a dozen pages is still whole; one that is longer than half a range may be at the end of one.
		{[]int{10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21}, []pages.Range{{First: 1, Last: 22}, {First: 23, Last: 40}}},
	} {
		if got := plan.Ranges(want, 32, plan.Weigh(tabled(40, c.over...))); !slices.Equal(got, c.want) {
			t.Errorf("tables over %v: %v, want %v", c.over, got, c.want)
		}
	}
	other := tabled(40, 20)
	other[20].GridBegin = 9 // another table
	if got := plan.Ranges(want, 32, plan.Weigh(other)); got[0].Last != 20 {
		t.Errorf("tables that have nothing to do with each other: %v", got)
	}
}

// Whatever looks like a table, ranges keep their bound, cover each page once, are at most three times as many, and cut through a table only where nothing else is
// possible.
func TestTablesDontBreakThePlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, most := rapid.IntRange(1, 300).Draw(t, "pages"), rapid.IntRange(1, 40).Draw(t, "most")
		var over []int
		if n > 1 {
			over = rapid.SliceOf(rapid.IntRange(1, n-1)).Draw(t, "over")
		}
		want := pages.Set{{First: 1, Last: n}}
		got, plain := plan.Ranges(want, most, plan.Weigh(tabled(n, over...))), plan.Ranges(want, most, plan.Weigh(tabled(n)))
		next := 1
		for _, r := range got {
			if r.First != next || r.Len() > most {
				t.Fatalf("%v", got)
			}
			next = r.Last + 1
			if r.Last < n && slices.Contains(over, r.Last) {
				for p := r.Last + 1; p < r.First+most && p < n; p++ {
					if !slices.Contains(over, p) {
						t.Fatalf("%s cuts a table, ending after page %d would not", r, p)
					}
				}
				if r.Len() > 1 && !slices.Contains(over, r.Last-1) {
					t.Fatalf("%s cuts a table, ending a page before would not", r)
				}
			}
		}
		if next != n+1 {
			t.Fatalf("%v of %d pages", got, n)
		}
		if len(got) > 3*len(plain) {
			t.Fatalf("%d ranges instead of %d", len(got), len(plain))
		}
	})
}

// TestCutsThroughTables counts them in made documents of which a boundary of every seven has a table over it.
func TestCutsThroughTables(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	without, with, before, after := 0, 0, 0, 0
	for range 500 {
		n := 20 + random.IntN(180)
		var over []int
		for p := 1; p < n; p++ {
			if random.IntN(7) == 0 {
				over = append(over, p)
			}
		}
		want := pages.Set{{First: 1, Last: n}}
		count := func(list []facts.Page) (cut, ranges int) {
			for _, r := range plan.Ranges(want, 32, plan.Weigh(list)) {
				if ranges++; slices.Contains(over, r.Last) {
					cut++
				}
			}
			return cut, ranges
		}
		blind, few := count(tabled(n))
		seeing, ranges := count(tabled(n, over...))
		without, with, before, after = without+blind, with+seeing, before+few, after+ranges
	}
	t.Logf("500 documents of 20 to 199 pages: %d tables cut without looking, %d with; %d and %d ranges", without, with, before, after)
	if with > without/20 {
		t.Errorf("%d of %d tables are still cut", with, without)
	}
}
