package deadletter

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Filter selects dead letters: those that meet all of what is set. The zero Filter selects every open one.
type Filter struct {
	IDs    []string      // any of these
	Stage  string        // died in this stage
	Class  failure.Class // for this class
	Since  time.Time     // died at or after
	Until  time.Time     // died before
	Source string        // source path ("bucket/key") starts with this
	Job    string        // belongs to this job
	Text   string        // message or error chain holds this, whatever the case
	// Replayed also selects those whose drop was sent through again since.
	Replayed bool
}

// Validate reports what can't be asked for.
func (f Filter) Validate() error {
	switch stages := []string{"", stage.Ingest, stage.Validator, stage.GPURunner, stage.Publisher}; {
	case !slices.Contains(stages, f.Stage):
		return fmt.Errorf("select dead letters: unknown stage %q (stages are %s)", f.Stage, strings.Join(stages[1:], ", "))
	case f.Class != "" && !f.Class.Valid():
		return fmt.Errorf("select dead letters: unknown class %q (docs/operations.md lists the classes)", f.Class)
	case !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until):
		return fmt.Errorf("select dead letters: nothing lies between %s and %s", f.Since.Format(time.RFC3339), f.Until.Format(time.RFC3339))
	}
	return nil
}

// subject lets the server do the coarse part of the selection.
func (f Filter) subject() string {
	stageName, class := "*", "*"
	if f.Stage != "" {
		stageName = f.Stage
	}
	if f.Class != "" {
		class = string(f.Class)
	}
	if stageName == "*" && class == "*" {
		return Subjects
	}
	return "pdf.dead." + stageName + "." + class
}

func (f Filter) matches(r Record) bool {
	switch {
	case len(f.IDs) > 0 && !slices.Contains(f.IDs, r.ID):
	case f.Stage != "" && f.Stage != r.Stage:
	case f.Class != "" && f.Class != r.Class:
	case !f.Since.IsZero() && r.DiedAt.Before(f.Since):
	case !f.Until.IsZero() && !r.DiedAt.Before(f.Until):
	case !strings.HasPrefix(r.Job.Source.Path(), f.Source):
	case f.Job != "" && f.Job != r.Job.ID:
	case f.Text != "" && !f.mentioned(r):
	default:
		return true
	}
	return false
}

func (f Filter) mentioned(r Record) bool {
	text := strings.ToLower(f.Text)
	return slices.ContainsFunc(append([]string{r.Message}, r.Chain...), func(s string) bool {
		return strings.Contains(strings.ToLower(s), text)
	})
}
