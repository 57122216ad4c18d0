package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// RebuildStatus fills the projection from what it is a projection of: products (the caller knows the object store), events, and the work queue, each over the
// former. It takes nothing away, and what services write meanwhile is merged like any other news. It returns the number of jobs.
func (b *Broker) RebuildStatus(ctx context.Context, products iter.Seq2[Status, error]) (int, error) {
	all := map[string]Status{}
	take := func(s Status) {
		if s.Job != "" {
			all[s.Job] = merge(all[s.Job], s)
		}
	}
	for s, err := range products {
		if err != nil {
			return 0, err
		}
		take(s)
	}
	for a, err := range b.Events(ctx) {
		if err != nil {
			return 0, err
		}
		take(a.status())
	}
	for q, err := range b.Queue(ctx) {
		if err != nil {
			return 0, err
		}
		if q.Stage == stage.Ingest {
			continue // the job is not known yet
		}
		s := statusOf(q.Work)
		s.State, s.Stage, s.WaitsFor, s.Pages, s.UpdatedAt = StateQueued, q.Stage, q.Stage, q.Total, q.At
		take(s)
	}
	kv, err := b.js.KeyValue(ctx, KVJobs)
	if err != nil {
		return 0, missing("KV bucket "+KVJobs, err)
	}
	for _, s := range all {
		s.Seconds = nil // they would add up at every rebuild
		if err := writeStatus(ctx, kv, s); err != nil {
			return 0, err
		}
	}
	return len(all), nil
}

// status is what an event says about its job.
func (a Announcement) status() Status {
	if c := a.Converted; c != nil {
		return Status{
			Job: c.Job, Drop: c.Drop, Pass: c.Pass, Source: c.Source, Tenant: c.Tenant, State: StateConverted, Stage: "publisher", Attempts: c.Attempts,
			Engine: c.Engine.Name, Pages: c.Pages, UpdatedAt: a.Time, BeganAt: a.Time,
		}
	}
	f := a.Failed
	return Status{
		Job: f.Job, Drop: f.Drop, Pass: f.Pass, Source: f.Source, Tenant: f.Tenant, State: StateFailed, Stage: f.Stage, Attempts: f.Attempts, Class: f.Class,
		Message: f.Message, UpdatedAt: a.Time, BeganAt: a.Time,
	}
}

// Events yields every event that is kept, oldest first: those that are there when it starts.
func (b *Broker) Events(ctx context.Context) iter.Seq2[Announcement, error] {
	return func(yield func(Announcement, error) bool) {
		fail := func(err error) { yield(Announcement{}, fmt.Errorf("read stream %s: %w", StreamEvents, err)) }
		consumer, err := b.js.OrderedConsumer(ctx, StreamEvents, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy, InactiveThreshold: time.Minute})
		if err != nil {
			fail(missing("stream "+StreamEvents, err))
			return
		}
		info, err := consumer.Info(ctx)
		if err != nil {
			fail(err)
			return
		}
		for left := info.NumPending; left > 0; {
			msg, err := consumer.Next(jetstream.FetchContext(ctx))
			if err != nil {
				if errors.Is(err, jetstream.ErrNoMessages) {
					return
				}
				fail(err)
				return
			}
			meta, err := msg.Metadata()
			if err != nil {
				fail(err)
				return
			}
			left = meta.NumPending
			a, err := announcement(msg)
			if _, broken := errors.AsType[*json.SyntaxError](err); broken {
				continue // not one of pdfmill's
			}
			if !yield(a, err) || err != nil {
				return
			}
		}
	}
}
