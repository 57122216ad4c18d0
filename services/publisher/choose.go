package publisher

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// joinVersion is part of what identifies a product: raise it when the same inputs shall give another document.
const joinVersion = 2

// Run is a stretch of pages and the object it is taken from.
type Run struct {
	Kind  string      `json:"kind"` // good | degraded | lost
	Pages pages.Range `json:"pages"`
	Key   string      `json:"key,omitempty"`
	ETag  string      `json:"etag,omitempty"`
}

// selection is a plan of a document: its wanted pages in order, each taken from one place.
type selection struct {
	runs   []Run
	lost   map[int]event.FailedPage // pages of the runs of kind lost
	layout string                   // of the revision in the store; "" is pdfmill's
	digest string                   // the same for the same product
}

// choose is a pure function: a good result before a degraded one before none. Of several good results that hold a page the one of the latest generation that reaches
// furthest is taken, so that a document is read from few objects; of several degraded ones the narrowest, because it is what came of
// trying harder.
func choose(want pages.Set, h holdings, lost map[int]lostPage, layout string) selection {
	if layout == LayoutOwn {
		layout = ""
	}
	s := selection{layout: layout, lost: map[int]event.FailedPage{}}
	for _, w := range want {
		for p := w.First; p <= w.Last; {
			run := Run{Kind: kindLost, Pages: pages.Range{First: p, Last: p}}
			if f, ok := best(h.good, p, furthest); ok {
				run = Run{Kind: kindGood, Pages: pages.Range{First: p, Last: min(f.pages.Last, w.Last)}, Key: f.key, ETag: f.etag}
			} else if f, ok := best(h.degraded, p, narrowest); ok {
				run.Kind, run.Key, run.ETag = kindDegraded, f.key, f.etag
			} else {
				s.lost[p] = lost[p].FailedPage
			}
			s.add(run)
			p = run.Pages.Last + 1
		}
	}
	s.digest = digest(s)
	return s
}

// add appends a run, or lengthens the last one.
func (s *selection) add(r Run) {
	if n := len(s.runs); n > 0 {
		if last := &s.runs[n-1]; last.Kind == r.Kind && last.Key == r.Key && last.Pages.Last+1 == r.Pages.First {
			last.Pages.Last = r.Pages.Last
			return
		}
	}
	s.runs = append(s.runs, r)
}

// best returns the one of those that hold a page which comes first by order.
func best(all []found, page int, order func(a, b found) int) (choice found, ok bool) {
	for _, f := range all {
		if f.pages.First > page || f.pages.Last < page {
			continue
		}
		if !ok || order(f, choice) < 0 {
			choice, ok = f, true
		}
	}
	return choice, ok
}

func furthest(a, b found) int {
	if a.generation != b.generation { // the latest conversion is the wanted one
		return cmp.Compare(b.generation, a.generation)
	}
	if a.pages.Last != b.pages.Last {
		return b.pages.Last - a.pages.Last
	}
	return a.pages.First - b.pages.First
}

func narrowest(a, b found) int {
	if a.pages.Len() != b.pages.Len() {
		return a.pages.Len() - b.pages.Len()
	}
	return a.pages.First - b.pages.First
}

// digest identifies a product by everything that decides about its content.
func digest(s selection) string {
	failed := make([]event.FailedPage, 0, len(s.lost))
	for _, p := range s.lost {
		failed = append(failed, p)
	}
	slices.SortFunc(failed, func(a, b event.FailedPage) int { return a.Page - b.Page })
	text, _ := json.Marshal(struct { // plain values always marshal
		Join   int
		Runs   []Run
		Failed []event.FailedPage
		Layout string `json:",omitempty"`
	}{joinVersion, s.runs, failed, s.layout})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
