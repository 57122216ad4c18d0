package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// engine by whose name the ranges wait: it converts nothing, so that what is measured is the queue.
const engine = job.EngineNull

// publishers publish side by side, batch outputs each at a time.
const (
	publishers = 4
	batch      = 500
)

// span are the pages of a range.
const span = 32

// numbered is the n-th range of all, one of a one-range document. All documents have the same bytes, so that the gpu-runner finds them; their jobs differ.
func (r *rig) numbered(n int, lane string) stage.Output {
	source := document.Source{
		Bucket: "inbox", Key: fmt.Sprintf("archive/%04d/invoice-%08d.pdf", n/10_000, n), ETag: "d41d8cd98f00b204e9800998ecf8427e", Size: int64(len(r.source)),
		SHA256: r.sha256, ModTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	options := job.Default()
	options.Engine = engine
	j := job.New(source, options, "", time.Now())
	j.ID = document.Digest("bench", lane, fmt.Sprint(n))
	m := event.Range{
		Job: j, Engine: engine, Lane: lane, Range: pages.Range{First: 1, Last: span}, Total: span, Want: pages.Set{{First: 1, Last: span}}, Mode: event.ModeDefault,
		Megapixels: 0.5 * span, PlannedAt: time.Now().UTC(), ValidateSeconds: 0.012,
	}
	return stage.Output{Subject: m.Subject(), ID: m.MessageID(), Body: m}
}

// publish publishes until it succeeds: a server that has too little of the machine may answer too late, and ids make each message count once.
func (r *rig) publish(ctx context.Context, outputs []stage.Output) error {
	for {
		err := r.broker.Publish(ctx, outputs...)
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
}

// fill publishes ranges [from, to) into the bulk lane, in atomic batches as the validator does.
func (r *rig) fill(ctx context.Context, from, to int) error {
	var next atomic.Int64
	next.Store(int64(from))
	group, ctx := errgroup.WithContext(ctx)
	for range publishers {
		group.Go(func() error {
			for {
				first := int(next.Add(batch)) - batch
				if first >= to {
					return nil
				}
				outputs := make([]stage.Output, 0, batch)
				for n := first; n < min(first+batch, to); n++ {
					outputs = append(outputs, r.numbered(n, job.LaneBulk))
				}
				if err := r.publish(ctx, outputs); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}
