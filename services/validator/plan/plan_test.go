package plan_test

import (
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
