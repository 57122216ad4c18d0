package validator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/services/validator/facts"
	"github.com/pdfmill/pdfmill/services/validator/plan"
)

// handle inspects one document and plans the ranges that nobody has converted yet. The plan depends only on the document and on what is done, so that
// a second delivery plans the same.
func (s *Service) handle(ctx context.Context, d stage.Delivery[event.Ingested]) ([]stage.Output, error) {
	j, started := d.Body.Job, time.Now()
	engine, err := s.engine(j.Options)
	if err != nil {
		return nil, err
	}
	found, err := s.inspect(ctx, j)
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
	have, err := s.done(ctx, j)
	if err != nil {
		return nil, err
	}
	seconds := time.Since(started).Seconds()
	missing := want.Subtract(have)
	if len(missing) == 0 {
		return []stage.Output{event.Rendered{
			Job: j, Engine: engine, Total: found.Pages, Want: want, Cached: true, ValidateSeconds: seconds, Attempts: d.Attempt,
		}.Output()}, nil
	}
	lane := j.Options.Priority
	var outputs []stage.Output
	for _, r := range plan.Ranges(missing, s.config.MaxRangePages) {
		outputs = append(outputs, event.Range{
			Job: j, Engine: engine, Lane: lane, Range: r, Total: found.Pages, Want: want, Mode: event.ModeDefault,
			PlannedAt: time.Now().UTC(), ValidateSeconds: seconds,
		}.Output())
	}
	return outputs, nil
}

// engine decides who converts the document.
func (s *Service) engine(o job.Options) (string, error) {
	engine := o.Engine
	if engine == job.EngineAuto {
		engine = s.config.AutoEngine
	}
	if !slices.Contains(s.config.Engines, engine) {
		return "", failure.Newf(failure.EngineMissing, "choose engine for", "document", "no gpu-runner serves the engine %q", engine).
			WithHint("available: " + strings.Join(s.config.Engines, ", ") + "; replay with --set engine=…")
	}
	return engine, nil
}

// inspect brings the source to local scratch, its hash checked, and looks at it in the sandbox.
func (s *Service) inspect(ctx context.Context, j job.Job) (facts.Facts, error) {
	file, err := os.CreateTemp(s.config.Scratch, "pdfmill-inspect-")
	if err != nil {
		return facts.Facts{}, failure.New(failure.Unhealthy, "make scratch file in", s.config.Scratch, err).WithHint("is the disk full?")
	}
	defer os.Remove(file.Name())
	defer file.Close()
	_, err = object.Download(ctx, s.platform.Store, s.platform.Bucket, j.Source.ObjectKey(), j.Source.SHA256, file)
	switch {
	case errors.Is(err, object.ErrNotFound):
		return facts.Facts{}, failure.New(failure.SourceGone, "fetch", j.Source.ObjectKey(), err)
	case err != nil && failure.ClassOf(err, "") == "":
		return facts.Facts{}, failure.New(failure.Unhealthy, "write scratch file", file.Name(), err).WithHint("is the disk full?")
	case err != nil:
		return facts.Facts{}, err
	}
	found, err := s.inspector.Inspect(ctx, file.Name())
	if err != nil {
		return found, fmt.Errorf("inspect %s: %w", j.Source.Path(), err)
	}
	return found, nil
}

// done returns the pages of which a good result exists.
func (s *Service) done(ctx context.Context, j job.Job) (pages.Set, error) {
	prefix := j.Prefix() + "ranges/"
	var ranges []pages.Range
	for o, err := range s.platform.Store.List(ctx, s.platform.Bucket, prefix) {
		if err != nil {
			return nil, err
		}
		dir, name := path.Split(strings.TrimPrefix(o.Key, prefix))
		if name != "result.json" {
			continue
		}
		r, err := pages.ParseDir(strings.TrimSuffix(dir, "/"))
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", prefix, err)
		}
		ranges = append(ranges, r)
	}
	return pages.Union(ranges...), nil
}
