package validator

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/services/validator/plan"
	"github.com/pdfmill/pdfmill/services/validator/route"
)

// choice is who converts a document: one engine, or for each page one of those that are served.
type choice struct {
	engine string   // of the whole document; "auto": by page
	served []string // those that a page may go to
	policy string
}

// choice reads it from the options. What a document asks for and nobody serves is refused.
func (s *Service) choice(o job.Options) (choice, error) {
	served := s.config.served(o.Needs)
	if o.Engine != job.EngineAuto {
		return choice{engine: o.Engine}, s.serves(o.Engine, o.Needs)
	}
	if s.config.AutoEngine != "" {
		return choice{engine: s.config.AutoEngine}, s.serves(s.config.AutoEngine, o.Needs)
	}
	var readers []string // those that can read a picture, the better one first
	for _, engine := range []string{job.EngineMarker, job.EngineOCR} {
		if slices.Contains(served, engine) {
			readers = append(readers, engine)
		}
	}
	switch {
	case o.Output != job.OutputMarkdown: // only marker writes anything else
		return choice{engine: job.EngineMarker}, s.serves(job.EngineMarker, o.Needs)
	case o.ForceOCR && len(readers) > 0:
		return choice{engine: readers[0]}, nil
	case !slices.Contains(served, job.EngineText) && len(readers) > 0:
		return choice{engine: readers[0]}, nil
	case len(served) == 0:
		return choice{}, s.serves(job.EngineText, o.Needs)
	case !slices.Contains(served, job.EngineText):
		return choice{engine: served[0]}, nil
	case len(readers) == 0:
		return choice{engine: job.EngineText}, nil
	}
	return choice{engine: job.EngineAuto, served: append(readers, job.EngineText), policy: cmp.Or(o.Auto, job.AutoBalanced)}, nil
}

// served are the engines that somebody serves who does what is needed.
func (c Config) served(needs string) (engines []string) {
	for _, route := range c.Engines {
		if engine, of, err := job.ParseRoute(route); err == nil && of == needs {
			engines = append(engines, engine)
		}
	}
	return engines
}

// serves reports why an engine can't be asked.
func (s *Service) serves(engine, needs string) error {
	if slices.Contains(s.config.served(needs), engine) {
		return nil
	}
	if needs != "" {
		return failure.Newf(failure.EngineMissing, "choose engine for", "document", "nobody is declared to serve the engine %q with %s", engine, needs).
			WithHint("declared: " + strings.Join(s.config.Engines, ", ") + "; declare " + job.Route(engine, needs) + " with --engines, or replay with --set needs=…")
	}
	hint := "available: " + strings.Join(s.config.Engines, ", ") + "; replay with --set engine=…"
	if engine == job.EngineMarker || engine == job.EngineOCR {
		hint += ", or have it served: pdfmill engines install " + engine + ", then name it in --serve and --engines"
	}
	return failure.Newf(failure.EngineMissing, "choose engine for", "document", "no gpu-runner serves the engine %q", engine).WithHint(hint)
}

func (c choice) perPage() bool { return c.engine == job.EngineAuto }

// name writes into the facts what each page is, which is why it went where it did.
func (c choice) name(f *facts.Facts) {
	for i := range f.PageList {
		if c.perPage() {
			f.PageList[i].Kind = route.Kind(f.PageList[i])
		}
	}
}

// split gives each wanted page to an engine.
func (c choice) split(want pages.Set, f facts.Facts) map[string]pages.Set {
	if !c.perPage() {
		return map[string]pages.Set{c.engine: want}
	}
	split := route.Split(want, f.PageList, c.policy, c.served)
	ranges := 0
	for _, set := range split {
		ranges += len(set)
	}
	if ranges > plan.MaxRanges { // more than can be published at once: it goes whole, to who reads most of what there is
		return map[string]pages.Set{route.Engine(job.AutoBest, facts.KindMixed, c.served): want}
	}
	return split
}

// piece is a range and who converts it.
type piece struct {
	engine string
	pages  pages.Range
}

// recognised is how many pages the ocr engine gets at most at once: each takes it seconds.
const recognised = 8

// missing are the ranges of the whole plan, as far as they are not done: so cut, a range stays the same however many others are done.
func missing(split map[string]pages.Set, f facts.Facts, have pages.Set, maxRangePages int) []piece {
	weights := plan.Weigh(f.PageList)
	usable := func(want pages.Set) pages.Set { return want.Subtract(want.Subtract(good(f))) }
	each := func(cut func(want pages.Set, most int) []pages.Range) []piece {
		var todo []piece
		for engine, want := range split {
			most := maxRangePages
			if engine == job.EngineOCR {
				most = min(most, recognised)
			}
			for _, r := range cut(usable(want), most) {
				todo = append(todo, piece{engine, r})
			}
		}
		slices.SortFunc(todo, func(a, b piece) int { return a.pages.First - b.pages.First })
		return todo
	}
	todo := each(func(want pages.Set, most int) (left []pages.Range) {
		for _, r := range plan.Ranges(want, most, weights) {
			left = append(left, pages.Set{r}.Subtract(have)...)
		}
		return left
	})
	if len(todo) > plan.MaxRanges { // what is done lies scattered over the document
		todo = each(func(want pages.Set, most int) []pages.Range { return plan.Ranges(want.Subtract(have), most, weights) })
	}
	return todo
}
