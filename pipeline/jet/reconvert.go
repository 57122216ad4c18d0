package jet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
)

// Where selects what a reconversion is about, by the last end of each drop: those that meet all of what is set.
type Where struct {
	Engine   string
	Version  string        // of the engine; "!1.2" for every other one
	Class    failure.Class // the document, or a page of it, failed for this
	Degraded bool          // some page was converted in a simpler way than asked for, or not at all
	Source   string        // source path ("bucket/key") starts with this
	Since    time.Time     // ended at or after
	Until    time.Time     // ended before
}

// matches reports whether the end of a drop is meant.
func (w Where) matches(a Announcement) bool {
	if (!w.Since.IsZero() && a.Time.Before(w.Since)) || (!w.Until.IsZero() && !a.Time.Before(w.Until)) {
		return false
	}
	if f := a.Failed; f != nil {
		return w.Engine == "" && w.Version == "" && strings.HasPrefix(f.Source.Path(), w.Source) && (w.Class == "" || w.Class == f.Class)
	}
	c := a.Converted
	version, other := strings.CutPrefix(w.Version, "!")
	switch {
	case !strings.HasPrefix(c.Source.Path(), w.Source):
	case w.Engine != "" && w.Engine != c.Engine.Name:
	case w.Version != "" && (version == c.Engine.Version) == other:
	case w.Class != "" && !slices.ContainsFunc(c.FailedPages, func(p event.FailedPage) bool { return p.Class == w.Class }):
	case w.Degraded && c.Complete && !slices.ContainsFunc(c.Warnings, func(p event.PageWarning) bool { return p.Warning == "degraded" }):
	default:
		return true
	}
	return false
}

// ReconvertOptions say how to convert again.
type ReconvertOptions struct {
	DryRun   bool
	Rate     float64           // documents per second; 0: no limit
	Set      map[string]string // options to change, by name
	By       string
	Exists   func(ctx context.Context, s document.Source) (bool, error) // whether the accepted bytes are still there
	Progress func(ReconvertStep)                                        // may be nil
}

// ReconvertStep is what became of one document.
type ReconvertStep struct {
	Source      string
	Job         string
	Outcome     string // as of deadletter.Step
	Err         error  // of deadletter.Refused
	Done, Total int
}

// Reconvert sends every drop that w selects through once more, as its next pass, and has it use no result that is older than this call. Earlier revisions stay. It is
// safe to interrupt and to call again: what was converted again has another end then.
func (b *Broker) Reconvert(ctx context.Context, w Where, o ReconvertOptions) (int, error) {
	options := job.Default()
	for _, name := range slices.Sorted(maps.Keys(o.Set)) {
		if err := options.Set(name, o.Set[name]); err != nil {
			return 0, fmt.Errorf("reconvert: %w", err)
		}
	}
	box, err := deadletter.NewBox(ctx, b.js)
	if err != nil {
		return 0, err
	}
	picks, err := b.lastEnds(ctx, w)
	if err != nil {
		return 0, err
	}
	now := time.Now().UTC()
	pace := deadletter.NewPace(o.Rate)
	sent := 0
	for i, a := range picks {
		if err := pace.Wait(ctx); err != nil {
			return sent, fmt.Errorf("reconversion stopped after %d of %d documents: %w", i, len(picks), err)
		}
		j := workAgain(a, now)
		step := ReconvertStep{Source: j.Source.Path(), Job: j.ID, Done: i + 1, Total: len(picks)}
		err = b.Alone(ctx, SourcesLease, func(ctx context.Context, _ func() bool) error { // its source must not be swept between a look at it and the message that needs it
			step.Outcome, step.Err, err = b.reconvert(ctx, box, j, o)
			return err
		})
		if err != nil {
			return sent, fmt.Errorf("reconvert %s, %d of %d documents done: %w", step.Source, i, len(picks), err)
		}
		if step.Outcome == deadletter.Replayed || step.Outcome == deadletter.WouldReplay {
			sent++
		}
		if o.Progress != nil {
			o.Progress(step)
		}
	}
	return sent, nil
}

// lastEnds are the selected ends, oldest first, one a drop.
func (b *Broker) lastEnds(ctx context.Context, w Where) ([]Announcement, error) {
	last := map[string]Announcement{}
	for a, err := range b.Events(ctx) {
		if err != nil {
			return nil, err
		}
		j := workAgain(a, time.Time{})
		a.Raw = nil // it may be half a megabyte
		if a.Converted != nil {
			a.Converted.Markdown.Inline = ""
		}
		if was, ok := last[j.Drop]; !ok || workAgain(was, time.Time{}).Pass <= j.Pass {
			last[j.Drop] = a
		}
	}
	var picks []Announcement
	for _, a := range last {
		if w.matches(a) {
			picks = append(picks, a)
		}
	}
	slices.SortFunc(picks, func(a, b Announcement) int { return a.Time.Compare(b.Time) })
	return picks, nil
}

// workAgain is the job that an event ended, as it is to begin again.
func workAgain(a Announcement, now time.Time) job.Job {
	j := job.Job{AcceptedAt: now, BeganAt: now, Generation: now.Unix()}
	if c := a.Converted; c != nil {
		j.ID, j.Drop, j.Pass, j.Source, j.Options, j.CorrelationID, j.Tenant = c.Job, c.Drop, c.Pass, c.Source, c.Options, c.CorrelationID, c.Tenant
	} else if f := a.Failed; f != nil {
		j.ID, j.Drop, j.Pass, j.Source, j.Options, j.CorrelationID, j.Tenant = f.Job, f.Drop, f.Pass, f.Source, f.Options, f.CorrelationID, f.Tenant
	}
	return j
}

// reconvert starts the next pass of one drop.
func (b *Broker) reconvert(ctx context.Context, box *deadletter.Box, j job.Job, o ReconvertOptions) (outcome string, refused, err error) {
	if err := j.Validate(); err != nil {
		return deadletter.Refused, fmt.Errorf("%w (it failed before it was accepted: drop it again, or replay its dead letter)", err), nil
	}
	if ok, err := o.Exists(ctx, j.Source); err != nil {
		return "", nil, err
	} else if !ok {
		return deadletter.Refused, errors.New("pdfmill no longer has its bytes (drop it again)"), nil
	}
	for name, value := range o.Set {
		if err := j.Options.Set(name, value); err != nil {
			return deadletter.Refused, err, nil
		}
	}
	if len(o.Set) > 0 {
		j = j.Identified() // other options are other work
	}
	outcome, err = box.NextPass(ctx, j.Drop, j.Pass, o.By, o.DryRun, func(pass int) error {
		j.Pass = pass
		return b.Publish(ctx, event.Ingested{Job: j}.Output())
	})
	return outcome, nil, err
}
