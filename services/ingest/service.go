// Package ingest is the first stage: it notices what was dropped into an inbox, copies it to where nobody changes it any more, and hands it on.
//
//	gateway (or MinIO) ─────┐
//	folder watch ─ stable? ─┼─▶ pdf.dropped ─▶ look ─▶ taken already? ─ yes ─▶ (nothing to do)
//	listing ─ unknown? ─────┘      (turns, gate)         │ no
//	                    options, quota ─▶ copy to source/<sha256>.pdf ─▶ pdf.ingested ─▶ note it in pdf_sources
//
// All three sources only give hints. Hints about the same state of an object have the same message id, so that the broker keeps one; what counts
// is what the bucket holds when the hint is handled, and what pdf_sources says was taken.
//
// The handler publishes pdf.ingested itself and notes the source after that, before its message is acknowledged. Noted first, a crash in between would lose
// the document; like this it makes the message come again, and the same pdf.ingested is published under the same id.
//
// A tenant's drops have a lane of their own, in which they stay while a quota of the tenant's is used up: see tenants.go.
package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Sources remembers which state of which object was taken. jet.Sources is one.
type Sources interface {
	Get(ctx context.Context, source document.Source) (t jet.Taken, found bool, err error)
	Put(ctx context.Context, t jet.Taken) error
	Promise(ctx context.Context, t jet.Taken) error
	Follow(ctx context.Context, ready func(), see func(jet.Taken)) error
}

// Service is ingest. It is a lifecycle.Service.
type Service struct {
	config   Config
	platform lifecycle.Platform
	log      *slog.Logger
	sources  Sources
	known    *known
	skips    *skips
	hints    *hints
	tenancy  *jet.Tenancy
	meter    *jet.Meter
	waits    sync.Map // why a tenant's documents wait, as it was said last, by name
	now      func() time.Time
	// sweepPatience is how long a message waits in the handler for the end of a sweep.
	sweepPatience time.Duration

	lookers lookers
	scans   atomic.Int64
	waiting atomic.Int64
}

// New returns ingest; Run starts it. It fails when the configuration can't be used.
func New(c Config, p lifecycle.Platform) (*Service, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("ingest configuration: %w", err)
	}
	if p.Bucket == "" {
		p.Bucket = lifecycle.DefaultBucket
	}
	if slices.ContainsFunc(c.inboxes(), func(i inbox) bool { return i.bucket == p.Bucket }) {
		return nil, fmt.Errorf("ingest configuration: inbox names %q, pdfmill's own bucket", p.Bucket)
	}
	if c.Scratch != "" {
		if err := os.MkdirAll(c.Scratch, 0o700); err != nil {
			return nil, fmt.Errorf("ingest configuration: folder for scratch files: %w (choose another with --ingest-scratch)", err)
		}
	}
	log := p.Log.With("service", stage.Ingest)
	s := &Service{
		config: c, platform: p, log: log, sources: jet.NewSources(p.Broker), known: newKnown(), skips: newSkips(log), now: time.Now, sweepPatience: 10 * time.Second,
	}
	s.tenancy, s.meter = jet.NewTenancy(p.Broker, log), jet.NewMeter(p.Broker)
	s.hints = &hints{publish: p.Broker.Publish, known: s.known, place: s.place, promise: s.promise}
	if p.Metrics != nil {
		if err := p.Metrics.Register(tenantMetrics{s}); err != nil {
			return nil, fmt.Errorf("metrics of tenants: %w", err)
		}
	}
	return s, nil
}

// Name implements lifecycle.Service.
func (s *Service) Name() string { return stage.Ingest }

// Ready implements lifecycle.Service.
func (s *Service) Ready() error { return s.platform.Broker.Healthy() }

// Detail is what /readyz shows of ingest.
type Detail struct {
	Known   int   `json:"known"`   // objects that were taken or are on their way, while this process looks through an inbox
	Waiting int64 `json:"waiting"` // files that somebody may still be writing
	Hints   int64 `json:"hints"`   // published by the folder watch and the listing, since the start
	Skipped int64 `json:"skipped"` // files and objects that will not be taken as they are
	Scans   int64 `json:"scans"`   // finished listings of an inbox
}

// Detail says what ingest has seen since it started.
func (s *Service) Detail() any {
	return Detail{Known: s.known.size(), Waiting: s.waiting.Load(), Hints: s.hints.sent.Load(), Skipped: s.Skipped(), Scans: s.scans.Load()}
}

// Skipped counts what lay in an inbox's folder and will not be taken as it is: symbolic links, special files, hidden and temporary names. Each counts once.
func (s *Service) Skipped() int64 { return s.skips.count.Load() }

// Run implements lifecycle.Service.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		s.tenancy.Run(ctx)
		return nil
	})
	select {
	case <-ctx.Done():
		return group.Wait()
	case <-s.tenancy.Known(): // before, a tenant's document would be taken for nobody's
	}
	for _, in := range s.config.inboxes() {
		group.Go(func() error {
			if dir, ok := s.config.Directories[in.bucket]; ok {
				var err error
				s.informed(ctx, func(ctx context.Context) { err = s.newFolder(in.bucket, dir).run(ctx) })
				return err
			}
			// Of many processes one lists, and only that one reads what was taken.
			return s.platform.Broker.Hold(ctx, in.lease(), s.log, func(ctx context.Context) { s.informed(ctx, s.newListing(in).run) })
		})
	}
	loop := jet.Loop{
		Stage: stage.Ingest, Subject: event.SubjectDropped, Concurrency: s.config.Concurrency, Observer: s.platform.Observer, Version: s.platform.Version, Log: s.platform.Log,
	}
	gate := jet.NewGate(s.platform.Broker, s.config.Ahead, s.log)
	group.Go(func() error {
		gate.Run(ctx)
		return nil
	})
	group.Go(func() error { return jet.Run(ctx, s.platform.Broker, loop, s.sort) })
	places := semaphore.NewWeighted(int64(s.config.Concurrency))
	group.Go(func() error {
		return jet.RunLanes(ctx, s.platform.Broker, loop, s.lanes(gate), fair(places, s.handle))
	})
	group.Go(func() error { return s.tenantLanes(ctx, loop, gate, places) })
	return group.Wait()
}

// pause waits, or returns early when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
