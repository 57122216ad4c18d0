// Package plan cuts a document into page ranges by what its pages will cost.
package plan

import (
	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// MaxRanges is how many ranges a document is cut into at most: as many messages as fit one atomic batch.
const MaxRanges = 1000

// What makes a page cost as much as another ordinary page.
const (
	charsPerPage  = 6_000
	pixelsPerPage = 20_000_000 // of images: two A4 scans at 300 dpi
	areaPerPage   = 8_000_000  // square points: sixteen A4 pages
)

// unit is the weight of an ordinary page: weights are whole numbers, so that sums are exact.
const unit = 1000

// Weights tells what each page costs, an ordinary page being 1. The zero value takes all pages for ordinary.
type Weights struct{ byPage map[int]int64 }

// Weigh reads the weights of pages from what is known of them; a page of which nothing is known is ordinary. Only pages that are heavier than that are kept.
func Weigh(list []facts.Page) Weights {
	w := Weights{byPage: map[int]int64{}}
	for _, p := range list {
		if weight := int64(Of(p) * unit); weight > unit {
			w.byPage[p.Page] = weight
		}
	}
	return w
}

// Of is what a page costs: at least 1.
func Of(p facts.Page) float64 {
	return max(1, float64(p.Chars)/charsPerPage+float64(p.Pixels)/pixelsPerPage+p.Width*p.Height/areaPerPage)
}

func (w Weights) of(page int) int64 { return max(w.byPage[page], unit) }

// Ranges cuts the pages of want into ranges that cost at most as much as maxPages ordinary pages, neighbours together, evenly filled; a page that costs more
// is a range of its own. Beyond MaxRanges they are made longer. It depends on nothing else, so that the same document is always cut the same way.
func Ranges(want pages.Set, maxPages int, w Weights) []pages.Range {
	for {
		ranges := cut(want, maxPages, w)
		if len(ranges) <= MaxRanges || len(ranges) == len(want) {
			return ranges
		}
		maxPages *= 2
	}
}

func cut(want pages.Set, maxPages int, w Weights) []pages.Range {
	var out []pages.Range
	most := int64(maxPages) * unit
	for _, r := range want {
		left := int64(0)
		for p := r.First; p <= r.Last; p++ {
			left += w.of(p)
		}
		for first := r.First; first <= r.Last; {
			share := left / ((left + most - 1) / most) // what is left, shared out evenly over as few ranges as it needs
			last, weight := first, w.of(first)
			for last < r.Last {
				next := w.of(last + 1)
				if weight+next > most || weight+next/2 > share {
					break
				}
				last, weight = last+1, weight+next
			}
			out = append(out, pages.Range{First: first, Last: last})
			first, left = last+1, left-weight
		}
	}
	return out
}
