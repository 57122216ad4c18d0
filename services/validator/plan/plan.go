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

// Weights tells what each page costs, an ordinary page being 1, and after which page a cut would go through a table. The zero value takes all pages for ordinary.
type Weights struct {
	byPage map[int]int64
	tables map[int]bool
}

// Weigh reads the weights of pages from what is known of them; a page of which nothing is known is ordinary. Only pages that are heavier than that are kept.
func Weigh(list []facts.Page) Weights {
	w := Weights{byPage: map[int]int64{}, tables: map[int]bool{}}
	for i, p := range list {
		if i > 0 && GoesOn(list[i-1], p) {
			w.tables[p.Page-1] = true
		}
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

// GoesOn reports whether a table that page a ends with may be the one that page b begins with: a column may be empty on one of them.
func GoesOn(a, b facts.Page) bool {
	return a.Page+1 == b.Page && a.GridEnd > 0 && b.GridBegin > 0 && max(a.GridEnd, b.GridBegin)-min(a.GridEnd, b.GridBegin) <= 1
}

func (w Weights) of(page int) int64 { return max(w.byPage[page], unit) }

// Ranges cuts the pages of want into ranges that cost at most as much as maxPages ordinary pages, neighbours together, evenly filled; a page that costs more
// is a range of its own. A cut goes through a table only when there is no other place for it between half a range and a whole one. Beyond MaxRanges ranges are
// made longer. It depends on nothing else, so that the same document is always cut the same way.
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
			if last < r.Last && w.tables[last] {
				last, weight = w.besideTable(first, last, r.Last, most)
			}
			out = append(out, pages.Range{First: first, Last: last})
			first, left = last+1, left-weight
		}
	}
	return out
}

// besideTable is the end, and the weight, of a range that would end at last in the middle of a table: the nearest end before it that cuts none and leaves half of the
// pages, else the nearest after it that the bound allows, else last.
func (w Weights) besideTable(first, last, end int, most int64) (at int, weight int64) {
	sum := func(to int) (sum int64) {
		for p := first; p <= to; p++ {
			sum += w.of(p)
		}
		return sum
	}
	for p := last - 1; 2*(p-first+1) >= last-first+1; p-- {
		if !w.tables[p] {
			return p, sum(p)
		}
	}
	for p := last + 1; p <= end && sum(p) <= most; p++ {
		if p == end || !w.tables[p] {
			return p, sum(p)
		}
	}
	return last, sum(last)
}
