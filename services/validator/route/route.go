// Package route chooses the engine of each page for documents that leave the choice to pdfmill, from what a look at the page has shown.
package route

import (
	"slices"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// Bounds of the kinds of pages, calibrated on some 200 pages of real documents: the garbled ones among them are far above, all others below.
const (
	fewChars    = 20  // a page with no more has no text layer to speak of: the number on a scan
	scanCovered = 0.5 // share of the page that an image covers, if it is a scan
	maxUnknown  = 0.4 // mathematics set from pieces reach 0.3
	maxUnmapped = 0.3
	maxMute     = 0.5
	minSampled  = 50 // characters from which shares of them say something
	proseChars  = 400
	proseMarks  = 4 // objects beyond what text needs that prose may have: rules, an underline
	charsObject = 8 // characters of a text object on average at least, where a page is nothing but text
)

// Kind is what a page is, of those in package facts.
func Kind(p facts.Page) string {
	r := facts.Readable{}
	if p.Readable != nil {
		r = *p.Readable
	}
	switch {
	case p.Chars < 0:
		return facts.KindUnknown
	case p.Objects == 0 && p.Chars == 0:
		return facts.KindBlank
	case p.Chars == 0, p.Chars <= fewChars && p.Covered >= scanCovered:
		return facts.KindScanned
	case p.Chars >= minSampled && (r.Unknown >= maxUnknown || r.Unmapped >= maxUnmapped || r.Mute >= maxMute):
		return facts.KindGarbled
	case p.Chars >= proseChars && p.Images == 0 && p.Objects <= p.Chars/charsObject+proseMarks:
		return facts.KindProse
	}
	return facts.KindMixed
}

// Engine chooses for a page of a kind, by the policy (see job.Options.Auto), among those that are served: always the text engine, and perhaps more.
//
// Marker, where there is one, reads what needs recognition, and balanced also gives it whatever is more than prose; else the ocr engine recognises. A page that
// needs no recognition never gets it from the ocr engine, which finds less structure than there is in a text layer.
func Engine(policy, kind string, served []string) string {
	has := func(engine string) bool { return slices.Contains(served, engine) }
	unread := kind == facts.KindScanned || kind == facts.KindGarbled && policy != job.AutoFast
	switch {
	case kind == facts.KindBlank:
		return job.EngineText
	case has(job.EngineMarker) && (unread || policy == job.AutoBest || policy == job.AutoBalanced && kind != facts.KindProse):
		return job.EngineMarker
	case has(job.EngineOCR) && unread:
		return job.EngineOCR
	}
	return job.EngineText
}

// Split gives each page of want to an engine. A blank page goes along with the page before it, so that it does not cut a range.
func Split(want pages.Set, list []facts.Page, policy string, served []string) map[string]pages.Set {
	kinds := make(map[int]string, len(list))
	for _, p := range list {
		kinds[p.Page] = p.Kind
	}
	parts, engine := map[string][]pages.Range{}, ""
	for _, r := range want {
		for n := r.First; n <= r.Last; n++ {
			kind, known := kinds[n]
			if !known {
				kind = facts.KindUnknown
			}
			if kind != facts.KindBlank || engine == "" {
				engine = Engine(policy, kind, served)
			}
			parts[engine] = append(parts[engine], pages.Range{First: n, Last: n})
		}
	}
	split := make(map[string]pages.Set, len(parts))
	for name, ranges := range parts {
		split[name] = pages.Union(ranges...)
	}
	return split
}
