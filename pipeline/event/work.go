// Package event holds every message of the pipeline: what the stages say to each other, and what subscribers see. The JSON of the latter is
// public (docs/asyncapi.yaml): fields are only ever added.
package event

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// Subjects of the work queue and of the public events. Drops wait on more than one: see SubjectsDropped.
const (
	SubjectDropped   = "pdf.dropped"
	SubjectIngested  = "pdf.ingested"
	SubjectRendered  = "pdf.rendered"
	SubjectConverted = "pdf.converted"
	SubjectFailed    = "pdf.failed"
)

// SubjectValidated is where ranges for an engine, or a route (job.Route) to some who serve it, and a lane wait.
func SubjectValidated(route, lane string) string { return "pdf.validated." + route + "." + lane }

// Ingested says that a source is stored under its hash and its options are understood.
type Ingested struct {
	job.Job
}

// Work returns the job.
func (m Ingested) Work() job.Job { return m.Job }

// MessageID is the same for every message about this pass of this drop.
func (m Ingested) MessageID() string { return "ingested:" + m.PassID() }

// Range modes: how an engine is to treat a range.
const (
	ModeDefault = "default"
	ModePlain   = "plain" // the engine's simplest way, for a page on which the default way died; the result counts as degraded
)

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Range is a piece of a validated document for an engine to convert.
type Range struct {
	job.Job
	Engine string      `json:"engine"`
	Lane   string      `json:"lane"`
	Range  pages.Range `json:"range"`
	Total  int         `json:"total"` // pages of the document
	Want   pages.Set   `json:"want"`  // the pages that make the document complete
	Mode   string      `json:"mode"`
	// Megapixels is the area of the range's pages at 72 dpi; 0: not known. It says how much memory the range may need.
	Megapixels float64 `json:"megapixels,omitempty"`
	// Because says which failure led to this message: a range split in two, a page retried the plain way.
	Because failure.Class `json:"because,omitempty"`
	// Evidence is what earlier tries of these pages left behind: a stack trace, the end of a worker's output. It ends in the dead letter, if one comes.
	Evidence string `json:"evidence,omitempty"`

	// Repaired is the sha256 of the repaired copy of the document that is to be converted; "": the document itself is.
	Repaired string `json:"repaired,omitempty"`

	PlannedAt       time.Time `json:"planned_at"`
	ValidateSeconds float64   `json:"validate_seconds"`
}

// Work returns the job.
func (m Range) Work() job.Job { return m.Job }

// Input is the document whose bytes are to be converted: the source, or its repaired copy.
func (m Range) Input() document.Source {
	in := m.Source
	if m.Repaired != "" {
		in.SHA256 = m.Repaired
	}
	return in
}

// Subject is where the range is published.
func (m Range) Subject() string {
	return SubjectValidated(job.Route(m.Engine, m.Options.Needs), m.Lane)
}

// MessageID is deterministic: the same plan gives the same ids.
func (m Range) MessageID() string {
	return fmt.Sprintf("range:%s:%s:%s:%s:%s", m.PassID(), m.Engine, m.Lane, m.Range, m.Mode)
}

// Validate reports why the range can't be converted.
func (m Range) Validate() error {
	err := m.Job.Validate()
	switch {
	case err != nil:
		return err
	case !m.Range.Valid():
		return fmt.Errorf("range %d-%d is not valid", m.Range.First, m.Range.Last)
	case m.Total < m.Range.Last:
		return fmt.Errorf("range %s of a document with %d pages", m.Range, m.Total)
	case m.Engine == "" || m.Lane == "":
		return errors.New("range without engine or lane")
	case m.Mode != ModeDefault && m.Mode != ModePlain:
		return fmt.Errorf("mode %q is neither default nor plain", m.Mode)
	case m.Repaired != "" && !sha256Hex.MatchString(m.Repaired):
		return fmt.Errorf("repaired copy %q is not a sha256", m.Repaired)
	}
	return nil
}

// FailedPage is a page that no way of converting it could bring through.
type FailedPage struct {
	Page    int           `json:"page"`
	Class   failure.Class `json:"class"`
	Message string        `json:"message"`
}

// Rendered says that a range is done, well or not, or (with a zero Range) that nothing was left to do. The results themselves lie in the store.
type Rendered struct {
	job.Job
	Engine string      `json:"engine"`
	Range  pages.Range `json:"range"`
	Total  int         `json:"total"`
	Want   pages.Set   `json:"want"`
	Mode   string      `json:"mode,omitempty"`
	// Failed lists the pages of the range that are lost in this pass.
	Failed []FailedPage `json:"failed,omitempty"`
	// DeadLetter is the id of the dead letter that tells more, when there is one.
	DeadLetter string `json:"dead_letter,omitempty"`
	// Cached says that this pass found every page already converted.
	Cached bool `json:"cached,omitempty"`

	ValidateSeconds float64 `json:"validate_seconds"`
	QueuedSeconds   float64 `json:"queued_seconds"`
	ConvertSeconds  float64 `json:"convert_seconds"`
	Attempts        int     `json:"attempts"`
}

// Work returns the job.
func (m Rendered) Work() job.Job { return m.Job }

// MessageID is the same for every message about this outcome of this range in this pass.
func (m Rendered) MessageID() string {
	outcome := "ok"
	if len(m.Failed) > 0 {
		outcome = "failed"
	}
	return fmt.Sprintf("rendered:%s:%s:%s:%s", m.PassID(), m.Range.Dir(), m.Mode, outcome)
}

// Validate reports why the message can't be joined.
func (m Rendered) Validate() error {
	err := m.Job.Validate()
	switch {
	case err != nil:
		return err
	case m.Total < 1 || m.Total > pages.Max:
		return fmt.Errorf("a document with %d pages", m.Total)
	case len(m.Want) == 0 || m.Want.Last() > m.Total:
		return fmt.Errorf("wanted pages %q of a document with %d pages", m.Want, m.Total)
	}
	return nil
}
