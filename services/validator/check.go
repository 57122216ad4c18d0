package validator

import (
	"context"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/services/validator/facts"
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
	Class   failure.Class `json:"class,omitempty"`
	Message string        `json:"message,omitempty"`
	Pages   int           `json:"pages"`
	Seconds float64       `json:"seconds"`
	Facts   facts.Facts   `json:"facts"`
	Plan    []pages.Range `json:"plan"`
}

// Check inspects a local file and plans it, as the pipeline would. The error is about this machine, never about the file.
func (i *Inspector) Check(ctx context.Context, path string, maxRangePages int) (Report, error) {
	started := time.Now()
	f, err := i.Inspect(ctx, path)
	r := Report{Input: path, Verdict: VerdictOK, Pages: f.Pages, Facts: f, Seconds: time.Since(started).Seconds(), Plan: []pages.Range{}}
	switch {
	case err == nil:
		r.Plan = plan.Ranges(pages.Set{{First: 1, Last: f.Pages}}, maxRangePages)
		return r, nil
	case failure.Permanent(err):
		r.Verdict, r.Class, r.Message = VerdictRefused, failure.ClassOf(err, ""), failure.Sentence(err)
		return r, nil
	}
	return r, err
}

// Unreadable is the report on a file that can't be read.
func Unreadable(input string, err error) Report {
	return Report{
		Input: input, Verdict: VerdictRefused, Class: failure.ClassOf(err, failure.SourceGone), Message: failure.Sentence(err), Plan: []pages.Range{},
	}
}
