package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// States of a job in the projection.
const (
	StateAccepted  = "accepted"
	StateQueued    = "queued"
	StateWorking   = "working"
	StateRetrying  = "retrying"
	StateConverted = "converted"
	StateFailed    = "failed"
)

// Status is what the KV bucket pdf_jobs says of one job: where it is and what it waits for. It is a projection for people: late by a moment, lost
// with its process, never decided upon.
type Status struct {
	Job       string          `json:"job"`
	Drop      string          `json:"drop"`
	Pass      int             `json:"pass"`
	Source    document.Source `json:"source"`
	State     string          `json:"state"`
	Stage     string          `json:"stage"`
	WaitsFor  string          `json:"waits_for,omitempty"`
	Range     string          `json:"range,omitempty"`
	Attempt   int             `json:"attempt,omitempty"`
	Class     failure.Class   `json:"class,omitempty"`
	Message   string          `json:"message,omitempty"`
	UpdatedAt time.Time       `json:"updated_at"`
}

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
	kv, err := b.js.KeyValue(ctx, KVJobs)
	if err != nil {
		return nil, missing("KV bucket "+KVJobs, err)
	}
	return &Projection{kv: kv, log: b.log, changed: map[string]Status{}}, nil
}

// Observe implements Observer.
func (p *Projection) Observe(o Observation) {
	if o.Work.ID == "" || (o.Stage == "ingest" && o.Outcome != Died) {
		return // the job is not known yet
	}
	s := Status{
		Job: o.Work.ID, Drop: o.Work.Drop, Pass: o.Work.Pass, Source: o.Work.Source, State: StateWorking, Stage: o.Stage,
		Attempt: o.Attempt, Class: o.Class, UpdatedAt: time.Now().UTC(),
	}
	if o.Range != nil {
		s.Range = o.Range.String()
	}
	switch o.Outcome {
	case Retried:
		s.State, s.Message = StateRetrying, o.Err.Error()
		s.WaitsFor = fmt.Sprintf("attempt %d, in %s", o.Attempt+1, o.Delay.Round(time.Millisecond))
	case Done, Died:
		s.State = StateQueued
		for _, out := range o.Outputs {
			switch body := out.Body.(type) {
			case event.Converted:
				s.State = StateConverted
			case event.Failed:
				s.State, s.Class, s.Message = StateFailed, body.Class, body.Message
			default:
				s.WaitsFor = StageOf(out.Subject)
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if was, ok := p.changed[s.Job]; ok && ended(was.State) && was.Pass >= s.Pass && !ended(s.State) {
		return // news of the past
	}
	p.changed[s.Job] = s
}

func ended(state string) bool { return state == StateConverted || state == StateFailed }

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
	for key, s := range changed {
		data, err := json.Marshal(s)
		if err == nil {
			_, err = p.kv.Put(ctx, key, data)
		}
		if err != nil {
			p.log.Debug("status not written", "job", key, "err", err)
		}
	}
}

// ErrNoStatus says that nothing is known of a job.
var ErrNoStatus = errors.New("no such job")

// ReadStatus returns what is known of one job.
func (b *Broker) ReadStatus(ctx context.Context, jobID string) (Status, error) {
	kv, err := b.js.KeyValue(ctx, KVJobs)
	if err != nil {
		return Status{}, missing("KV bucket "+KVJobs, err)
	}
	entry, err := kv.Get(ctx, jobID)
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrInvalidKey) {
		return Status{}, fmt.Errorf("job %q: %w", jobID, ErrNoStatus)
	}
	if err != nil {
		return Status{}, fmt.Errorf("status of job %s: %w", jobID, err)
	}
	var s Status
	if err := json.Unmarshal(entry.Value(), &s); err != nil {
		return Status{}, fmt.Errorf("status of job %s: %w", jobID, err)
	}
	return s, nil
}

// Statuses yields what is known of every job, in no order.
func (b *Broker) Statuses(ctx context.Context) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		kv, err := b.js.KeyValue(ctx, KVJobs)
		if err != nil {
			yield(Status{}, missing("KV bucket "+KVJobs, err))
			return
		}
		watcher, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
		if err != nil {
			yield(Status{}, fmt.Errorf("watch %s: %w", KVJobs, err))
			return
		}
		defer func() { _ = watcher.Stop() }() // the connection's end stops it too
		for entry := range watcher.Updates() {
			if entry == nil {
				return // all that was there has been seen
			}
			var s Status
			if err := json.Unmarshal(entry.Value(), &s); err != nil {
				continue // written by a newer version
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}
