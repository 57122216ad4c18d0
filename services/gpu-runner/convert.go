package gpurunner

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/secret"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// maxTries is how often a range that took its worker with it is tried on a fresh one before it is cut up.
const maxTries = 2

// handle converts one range: its outcome is stored under keys that depend on nothing but the work, then told to the publisher.
func (s *Service) handle(ctx context.Context, d stage.Delivery[event.Range]) ([]stage.Output, error) {
	m := d.Body
	queued := max(time.Since(m.PlannedAt), 0)
	done := event.Rendered{
		Job: m.Job, Engine: m.Engine, Range: m.Range, Total: m.Total, Want: m.Want, Mode: m.Mode,
		ValidateSeconds: m.ValidateSeconds, QueuedSeconds: queued.Seconds(), Attempts: d.Attempt,
	}
	found, err := s.alreadyDone(ctx, m)
	if err != nil {
		return nil, err
	}
	if found {
		return []stage.Output{done.Output()}, nil
	}

	source, release, err := s.sources.open(ctx, m.Input())
	if err != nil {
		return nil, err
	}
	defer release()
	outDir, err := os.MkdirTemp(s.config.Scratch, "range-")
	if err != nil {
		return nil, failure.New(failure.Unhealthy, "make scratch folder in", s.config.Scratch, err).WithHint("is the disk full?")
	}
	defer func() {
		if err := os.RemoveAll(outDir); err != nil {
			s.log.Warn("scratch folder left behind", "dir", outDir, "err", err)
		}
	}()

	passwords, err := s.passwords(m)
	if err != nil {
		return nil, err
	}
	outcome, err := s.engines[m.Engine].convert(ctx, m, source, outDir, passwords, s.limits(m))
	if err != nil {
		return s.afterFailure(m, d.Attempt, err)
	}
	done.ConvertSeconds = outcome.Worked.Seconds()
	again, err := s.store(ctx, m, outcome, outDir)
	if err != nil {
		return nil, err
	}
	return append(again, done.Output()), nil
}

// alreadyDone reports whether a good result of exactly this range exists: of an earlier attempt, or of another drop of the same document.
func (s *Service) alreadyDone(ctx context.Context, m event.Range) (bool, error) {
	_, err := s.platform.Store.Stat(ctx, s.platform.Bucket, m.RangePrefix(m.Range)+"result.json")
	if errors.Is(err, object.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// passwords are those that may open the document. It is the document that says whether it needs one: that nobody knows the secret is no failure yet.
func (s *Service) passwords(m event.Range) ([]secret.Text, error) {
	if m.Options.PasswordRef == "" {
		return nil, nil
	}
	found, err := s.platform.Secrets.Lookup(m.Options.PasswordRef)
	if err != nil && !errors.Is(err, secret.ErrUnknown) {
		return nil, failure.New(failure.Unhealthy, "convert", m.Source.Path(), err)
	}
	return found, nil
}

// limits are the two clocks of a range; they run only while a worker is on it.
func (s *Service) limits(m event.Range) (c clocks) {
	c.total = s.config.TimeoutBase + time.Duration(m.Range.Len())*s.config.TimeoutPage
	if m.Options.Timeout > 0 {
		c.total = time.Duration(m.Options.Timeout * float64(time.Second))
	}
	c.silence = min(s.config.Silence, c.total)
	return c
}

type clocks struct{ total, silence time.Duration }

// afterFailure decides what becomes of a range whose conversion failed. A fault that one page may have caused is narrowed down: tried again on a
// fresh worker, then cut in two, down to the page, which gets one more try in the engine's plainest way.
func (s *Service) afterFailure(m event.Range, attempt int, err error) ([]stage.Output, error) {
	class := failure.ClassOf(err, failure.EngineError)
	if !class.PageFault() || errors.Is(err, context.Canceled) {
		return nil, err
	}
	// A timeout or a bug of the model is as sure as it will ever be; what killed a worker may have been an accident.
	certain := class == failure.Timeout || class == failure.ModelBug
	if !certain && attempt < maxTries {
		return nil, err
	}
	m.Because = class
	if a, b, ok := m.Range.Split(); ok {
		s.log.Warn("range cut in two", "source", m.Source.Path(), "range", m.Range, "class", class)
		return []stage.Output{withRange(m, a).Output(), withRange(m, b).Output()}, nil
	}
	if m.Mode == event.ModeDefault {
		return []stage.Output{plain(m, m.Range.First, class).Output()}, nil
	}
	return nil, failure.New(class, "convert page", m.Range.String()+" of "+m.Source.Path(), err).Final()
}

func withRange(m event.Range, r pages.Range) event.Range {
	m.Range, m.PlannedAt = r, time.Now().UTC()
	return m
}

// plain asks for one page in the engine's simplest and most robust way.
func plain(m event.Range, page int, because failure.Class) event.Range {
	m = withRange(m, pages.Range{First: page, Last: page})
	m.Mode, m.Because = event.ModePlain, because
	return m
}
