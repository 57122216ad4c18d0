// Package plan cuts a document into page ranges.
package plan

import "github.com/pdfmill/pdfmill/pipeline/pages"

// MaxRanges is how many ranges a document is cut into at most: as many messages as fit one atomic batch.
const MaxRanges = 1000

// Ranges cuts the pages of want into ranges of at most maxPages pages, neighbours together, evenly filled. Beyond MaxRanges they are made longer. It
// depends on nothing else, so that the same document is always cut the same way.
func Ranges(want pages.Set, maxPages int) []pages.Range {
	for {
		ranges := cut(want, maxPages)
		if len(ranges) <= MaxRanges || len(ranges) == len(want) {
			return ranges
		}
		maxPages *= 2
	}
}

func cut(want pages.Set, maxPages int) []pages.Range {
	var out []pages.Range
	for _, r := range want {
		pieces := (r.Len() + maxPages - 1) / maxPages
		first := r.First
		for i := range pieces {
			size := (r.Last - first + pieces - i) / (pieces - i) // what is left, shared out evenly
			out = append(out, pages.Range{First: first, Last: first + size - 1})
			first += size
		}
	}
	return out
}
