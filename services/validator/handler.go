package validator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// handle inspects one document and plans the ranges that nobody has converted yet. The plan depends only on the facts, which are stored before anything is
// published, and on what is done, so that a second delivery plans the same.
func (s *Service) handle(ctx context.Context, d stage.Delivery[event.Ingested]) ([]stage.Output, error) {
	j, started := d.Body.Job, time.Now()
	choice, err := s.choice(j.Options)
	if err != nil {
		return nil, err
	}
	found, err := s.facts(ctx, j, choice, d.Attempt > 1)
	if err != nil {
		return nil, err
	}
	want := pages.Set{{First: 1, Last: found.Pages}}
	if len(j.Options.Pages) > 0 {
		if want = j.Options.Pages.Clip(found.Pages); len(want) == 0 {
			return nil, failure.Newf(failure.InvalidMessage, "plan", j.Source.Path(),
				"option pages asks for %s of a document with %d pages", j.Options.Pages, found.Pages)
		}
	}
	lost := within(found.Failed, want)
	if len(lost) == want.Len() {
		return nil, failure.Newf(lost[0].Class, "plan", j.Source.Path(), "none of the pages asked for (%s) can go on: %s", want, lost[0].Message)
	}
	have, err := s.done(ctx, &j)
	if err != nil {
		return nil, err
	}
	seconds := time.Since(started).Seconds()
	todo := missing(choice.split(want, found), found, have, s.config.MaxRangePages)
	rendered := event.Rendered{Job: j, Engine: choice.engine, Total: found.Pages, Want: want, Mode: event.ModeDefault, ValidateSeconds: seconds, Attempts: d.Attempt}
	var outputs []stage.Output
	if len(lost) > 0 {
		rendered.Failed = lost
		if rendered.DeadLetter, err = s.bury(ctx, d, lost); err != nil {
			return nil, err
		}
		outputs = append(outputs, rendered.Output())
	}
	if len(todo) == 0 && len(lost) == 0 {
		rendered.Cached = true
		return []stage.Output{rendered.Output()}, nil
	}
	for _, piece := range todo {
		m := event.Range{
			Job: j, Engine: piece.engine, Lane: j.Options.Priority, Range: piece.pages, Total: found.Pages, Want: want, Mode: event.ModeDefault,
			PlannedAt: time.Now().UTC(), ValidateSeconds: seconds, Megapixels: megapixels(found.PageList, piece.pages),
		}
		if found.Repair != nil {
			m.Repaired = found.Repair.SHA256
		}
		outputs = append(outputs, m.Output())
	}
	return outputs, nil
}

// megapixels is the area of a range's pages at 72 dpi; 0 when it is not known of all of them.
func megapixels(known []facts.Page, r pages.Range) (area float64) {
	from, _ := slices.BinarySearchFunc(known, r.First, func(p facts.Page, first int) int { return p.Page - first })
	to := from + r.Len()
	if to > len(known) || known[from].Page != r.First || known[to-1].Page != r.Last {
		return 0
	}
	for _, p := range known[from:to] {
		area += p.Width * p.Height / 1e6
	}
	return area
}

// within are the lost pages among those that are wanted, as the publisher hears of them.
func within(lost []facts.FailedPage, want pages.Set) []event.FailedPage {
	var out []event.FailedPage
	for _, p := range lost {
		if want.Contains(p.Page) {
			out = append(out, event.FailedPage(p))
		}
	}
	return out
}

// facts are those that an earlier delivery has stored, or new ones. The first that are stored stay.
func (s *Service) facts(ctx context.Context, j job.Job, c choice, again bool) (facts.Facts, error) {
	key := j.PassPrefix() + facts.ObjectName
	var stored facts.Facts
	if again {
		_, err := object.GetJSON(ctx, s.platform.Store, s.platform.Bucket, key, facts.MaxObject, &stored)
		if err == nil || !errors.Is(err, object.ErrNotFound) {
			return stored, err
		}
	}
	found, err := s.inspect(ctx, j, c)
	if err != nil {
		return facts.Facts{}, err
	}
	c.name(&found)
	_, err = object.PutJSON(ctx, s.platform.Store, s.platform.Bucket, key, found, object.Put{Once: true})
	if errors.Is(err, object.ErrExists) {
		_, err = object.GetJSON(ctx, s.platform.Store, s.platform.Bucket, key, facts.MaxObject, &stored)
		return stored, err
	}
	return found, err
}

// inspect brings the source to local scratch, its hash checked, and looks at it in the sandbox. What comes out of that beside the facts is stored.
func (s *Service) inspect(ctx context.Context, j job.Job, c choice) (facts.Facts, error) {
	file, err := os.CreateTemp(s.config.Scratch, "pdfmill-inspect-")
	if err != nil {
		return facts.Facts{}, failure.New(failure.StoreUnavailable, "make scratch file in", s.config.Scratch, err).WithHint("is the disk full?")
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if j.Source.Size > s.config.Limits.MaxBytes { // not worth the way
		return facts.Facts{}, failure.Newf(failure.LimitBytes, "inspect", j.Source.Path(), "it has %d bytes, the limit is %d", j.Source.Size, s.config.Limits.MaxBytes)
	}
	_, err = object.Download(ctx, s.platform.Store, s.platform.Bucket, j.Source.ObjectKey(), j.Source.SHA256, file)
	switch {
	case errors.Is(err, object.ErrNotFound):
		return facts.Facts{}, failure.New(failure.SourceGone, "fetch", j.Source.ObjectKey(), err)
	case err != nil && failure.ClassOf(err, "") == "":
		return facts.Facts{}, failure.New(failure.StoreUnavailable, "write scratch file", file.Name(), err).WithHint("is the disk full?")
	case err != nil:
		return facts.Facts{}, err
	}
	found, err := s.inspector.Inspect(ctx, Request{
		Path: file.Name(), PasswordRef: j.Options.PasswordRef, Thumbnail: s.config.Thumbnail, Scratch: s.config.Scratch,
		Readable: c.perPage(), Grids: c.engine == job.EngineMarker || slices.Contains(c.served, job.EngineMarker),
	})
	if found.Repaired != "" {
		defer os.Remove(found.Repaired)
	}
	if err != nil {
		return facts.Facts{}, fmt.Errorf("inspect %s: %w", j.Source.Path(), err)
	}
	if err := s.keep(ctx, j, &found); err != nil {
		return facts.Facts{}, err
	}
	return found.Facts, nil
}
