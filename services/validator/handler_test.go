package validator

import (
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// A range says how large its pages are, unless that is not known of all of them.
func TestARangeHasTheAreaOfItsPages(t *testing.T) {
	known := []facts.Page{{Page: 1, Width: 1000, Height: 1000}, {Page: 2, Width: 1000, Height: 2000}, {Page: 4, Width: 1000, Height: 500}, {Page: 5, Width: 2000, Height: 2000}}
	for r, want := range map[pages.Range]float64{
		{First: 1, Last: 2}: 3, {First: 4, Last: 5}: 4.5, {First: 2, Last: 2}: 2, {First: 2, Last: 4}: 0, {First: 5, Last: 6}: 0, {First: 3, Last: 3}: 0,
	} {
		if got := megapixels(known, r); got != want {
			t.Errorf("pages %s: %g megapixels, want %g", r, got, want)
		}
	}
}
