package gpurunner

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/secret"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/services/gpu-runner/ledger"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

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
		if done.ConvertSeconds, err = s.workedBefore(ctx, m, d.Attempt); err != nil {
			return nil, err
		}
		return []stage.Output{done.Output()}, nil
	}

	source, release, err := s.sources.open(ctx, m.Input())
	if err != nil {
		return nil, err
	}
	defer release()
	outDir, err := os.MkdirTemp(s.config.Scratch, "range-")
	if err != nil {
		return nil, scratchTrouble(err, s.config.Scratch)
	}
	if err := s.config.underling.give(outDir); err != nil {
		return nil, scratchTrouble(err, s.config.Scratch)
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
	outcome, err := s.engines[m.Engine].convert(ctx, m, source, outDir, passwords, s.limits(m), s.pressure.of(m))
	s.pressure.count(m, failure.ClassOf(err, ""))
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

// workedBefore is what an engine worked on a range whose good result is there, when an earlier attempt at this message may have made it and died before it could
// tell: it counts for the tenant. For anybody else's result nobody worked.
func (s *Service) workedBefore(ctx context.Context, m event.Range, attempt int) (float64, error) {
	if m.Tenant == "" || attempt < 2 {
		return 0, nil
	}
	var result event.RangeResult
	_, err := object.GetJSON(ctx, s.platform.Store, s.platform.Bucket, m.RangePrefix(m.Range)+"result.json", event.MaxResult, &result)
	return result.Seconds, err
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

// afterFailure decides what becomes of a range whose conversion failed: see again.
func (s *Service) afterFailure(m event.Range, attempt int, err error) ([]stage.Output, error) {
	if errors.Is(err, context.Canceled) {
		return nil, err
	}
	f := fault{class: failure.ClassOf(err, failure.EngineError), evidence: evidence(m, err)}
	if said := (*supervise.EngineFailure)(nil); errors.As(err, &said) && said.Page != nil {
		f.page = *said.Page
	}
	refused := (*ledger.Refusal)(nil)
	f.hopeless = errors.As(err, &refused)
	pieces, retry := again(m, attempt, f)
	if retry {
		return nil, err
	}
	s.pressure.forget(m)
	if len(pieces) == 0 {
		return nil, failure.New(f.class, "convert page", m.Range.String()+" of "+m.Source.Path(), err).WithDetail(f.evidence).Final()
	}
	outputs := make([]stage.Output, 0, len(pieces))
	for _, p := range pieces {
		outputs = append(outputs, p.Output())
	}
	s.log.Warn("range cut up", "source", m.Source.Path(), "range", m.Range, "class", f.class, "page", f.page, "pieces", len(pieces), "lane", pieces[0].Lane)
	return outputs, nil
}

// maxEvidence is kept of what a worker left behind, in bytes: it travels in messages.
const maxEvidence = 16 << 10

// evidence is what this try and the ones before it left behind: its end matters most.
func evidence(m event.Range, err error) string {
	text := failure.DetailOf(err)
	if m.Evidence != "" && text != "" {
		text = m.Evidence + "\n--- then, " + m.Mode + " ---\n" + text
	} else if text == "" {
		text = m.Evidence
	}
	if cut := len(text) - maxEvidence; cut > 0 {
		text = strings.ToValidUTF8(text[cut:], "")
	}
	return text
}
