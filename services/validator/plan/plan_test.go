package plan_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/services/validator/plan"
)

func TestRangesCoverEachPageOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var parts []pages.Range
		for range rapid.IntRange(1, 20).Draw(t, "parts") {
			first := rapid.IntRange(1, 100_000).Draw(t, "first")
			parts = append(parts, pages.Range{First: first, Last: first + rapid.IntRange(0, 60_000).Draw(t, "more")})
		}
		want := pages.Union(parts...)
		limit := rapid.IntRange(1, 64).Draw(t, "limit")
		got := plan.Ranges(want, limit)
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
	got := plan.Ranges(pages.Set{{First: 1, Last: 33}, {First: 40, Last: 40}}, 32)
	want := []pages.Range{{First: 1, Last: 17}, {First: 18, Last: 33}, {First: 40, Last: 40}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("got %v, want %v", got, want)
	}
}
