package jet

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Projection writes Status entries. It is an Observer; changes within flushEvery become one write, the last.
type Projection struct {
	kv  jetstream.KeyValue
	log *slog.Logger

	mu      sync.Mutex
	changed map[string]Status
}

const flushEvery = 500 * time.Millisecond

// NewProjection opens the KV bucket.
func NewProjection(ctx context.Context, b *Broker) (*Projection, error) {
	kv, err := b.bucket(ctx, KVJobs)
	if err != nil {
		return nil, err
	}
	return &Projection{kv: kv, log: b.log, changed: map[string]Status{}}, nil
}

// Observe implements Observer.
func (p *Projection) Observe(o Observation) {
	if o.Work.ID == "" || (o.Stage == stage.Ingest && o.Outcome != Died) || o.Outcome == Skipped {
		return // the job is not known yet; or its end was written by whoever told it
	}
	news := newsOf(o, time.Now().UTC())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed[news.Job] = merge(p.changed[news.Job], news)
}

// newsOf is what an observation says about its job.
func newsOf(o Observation, now time.Time) Status {
	s := statusOf(o.Work)
	s.State, s.Stage, s.Attempt, s.Attempts, s.Class, s.UpdatedAt = StateWorking, o.Stage, o.Attempt, o.Attempt, o.Class, now
	if o.Range != nil {
		s.Range = o.Range.String()
	}
	if o.Seconds > 0 {
		s.Seconds = map[string]float64{o.Stage: o.Seconds}
	}
	switch o.Outcome {
	case Retried:
		s.State, s.Message = StateRetrying, o.Err.Error()
		s.WaitsFor = fmt.Sprintf("attempt %d, in %s", o.Attempt+1, o.Delay.Round(time.Millisecond))
	case GivenBack:
		s.State, s.WaitsFor = StateQueued, o.Stage
	case Done, Died:
		s.State = StateQueued
		for _, out := range o.Outputs {
			s.follow(out)
		}
	}
	return s
}

// follow notes what an output says about the job.
func (s *Status) follow(out stage.Output) {
	switch body := out.Body.(type) {
	case event.Converted:
		s.State, s.Pages, s.Engine = StateConverted, body.Pages, body.Engine.Name
	case event.Failed:
		s.State, s.Class, s.Message = StateFailed, body.Class, body.Message
	case event.Range:
		s.WaitsFor, s.Pages, s.Engine = "a "+body.Engine+" worker, lane "+body.Lane, body.Total, body.Engine
	case event.Rendered:
		s.WaitsFor, s.Pages, s.Engine = StageOf(out.Subject), body.Total, body.Engine
		if body.Range.Valid() {
			s.Done = pages.Set{body.Range}
		}
	default:
		s.WaitsFor = StageOf(out.Subject)
	}
}

// Run writes changes until ctx ends, and once more then.
func (p *Projection) Run(ctx context.Context) error {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			p.flush(last)
			return nil
		case <-ticker.C:
			p.flush(ctx)
		}
	}
}

// Name and Ready make the projection a service.
func (p *Projection) Name() string { return "status" }

// Ready implements lifecycle.Service: status being late keeps nobody from working.
func (p *Projection) Ready() error { return nil }

func (p *Projection) flush(ctx context.Context) {
	p.mu.Lock()
	changed := p.changed
	p.changed = map[string]Status{}
	p.mu.Unlock()
	for _, s := range changed {
		if err := writeStatus(ctx, p.kv, s); err != nil {
			p.log.Debug("status not written", "job", s.Job, "err", err)
		}
	}
}
