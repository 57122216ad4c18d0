package validator

import (
	"context"
	"os"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/services/validator/plan"
)

// Verdicts of a Report.
const (
	VerdictOK      = "ok"
	VerdictRefused = "refused"
)

// Report is what `pdfmill check` says of a file.
type Report struct {
	Input   string        `json:"input"`
	Verdict string        `json:"verdict"` // ok | refused
	Class   failure.Class `json:"class"`   // "" when it is ok
	Message string        `json:"message"` // the same
	Pages   int           `json:"pages"`
	Seconds float64       `json:"seconds"`
	Facts   facts.Facts   `json:"facts"`
	Plan    []pages.Range `json:"plan"`
}

// Check inspects a local file and plans it, as the pipeline would. A repaired copy is made, inspected and thrown away. The error is about this machine, never
// about the file.
func (i *Inspector) Check(ctx context.Context, r Request, maxRangePages int) (Report, error) {
	started := time.Now()
	found, err := i.Inspect(ctx, r)
	if found.Repaired != "" {
		defer os.Remove(found.Repaired)
	}
	f := found.Facts
	report := Report{Input: r.Path, Verdict: VerdictOK, Pages: f.Pages, Facts: f, Seconds: time.Since(started).Seconds(), Plan: []pages.Range{}}
	switch {
	case err == nil:
		report.Plan = plan.Ranges(good(f), maxRangePages, plan.Weigh(f.PageList))
		return report, nil
	case failure.Permanent(err):
		report.Verdict, report.Class, report.Message = VerdictRefused, failure.ClassOf(err, ""), failure.Sentence(err)
		return report, nil
	}
	return report, err
}

// good are the pages that an engine may see.
func good(f facts.Facts) pages.Set {
	all := pages.Set{{First: 1, Last: f.Pages}}
	lost := make([]pages.Range, 0, len(f.Failed))
	for _, p := range f.Failed {
		lost = append(lost, pages.Range{First: p.Page, Last: p.Page})
	}
	return all.Subtract(pages.Union(lost...))
}

// Unreadable is the report on a file that can't be read.
func Unreadable(input string, err error) Report {
	return Report{
		Input: input, Verdict: VerdictRefused, Class: failure.ClassOf(err, failure.SourceGone), Message: failure.Sentence(err), Plan: []pages.Range{},
	}
}
