package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// engine by whose name the ranges wait: it converts nothing, so that what is measured is the queue.
const engine = job.EngineNull

// publishers publish side by side, a portion each at a time; onTheWay bounds what is not acknowledged yet.
const (
	publishers = 3
	portion    = 2000
	onTheWay   = 8000
	ackIn      = time.Minute
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

// fill publishes ranges [from, to) into the bulk lane, many on their way at once. What times out is published again: its id makes it count once.
func (r *rig) fill(ctx context.Context, from, to int) error {
	conn, err := nats.Connect("nats://"+r.natsAddr, nats.UserInfo("pdfmill", r.secret), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(onTheWay), jetstream.WithPublishAsyncTimeout(ackIn))
	if err != nil {
		return err
	}
	var group errgroup.Group
	var next atomic.Int64
	next.Store(int64(from))
	for range publishers {
		group.Go(func() error {
			for {
				first := int(next.Add(portion)) - portion
				if first >= to {
					return nil
				}
				if err := r.portion(ctx, js, first, min(first+portion, to)); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// portion publishes some ranges and returns when all are stored.
func (r *rig) portion(ctx context.Context, js jetstream.JetStream, from, to int) error {
	for {
		acks := make([]jetstream.PubAckFuture, 0, to-from)
		for n := from; n < to; n++ {
			o := r.numbered(n, job.LaneBulk)
			data, err := json.Marshal(o.Body)
			if err != nil {
				return err
			}
			ack, err := js.PublishMsgAsync(&nats.Msg{Subject: o.Subject, Header: nats.Header{jetstream.MsgIDHeader: {o.ID}}, Data: data}, jetstream.WithStallWait(ackIn))
			if err != nil {
				return err
			}
			acks = append(acks, ack)
		}
		late := 0
		for _, ack := range acks {
			select {
			case <-ack.Ok():
			case err := <-ack.Err():
				if !errors.Is(err, jetstream.ErrAsyncPublishTimeout) {
					return err
				}
				late++
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if late == 0 {
			return nil
		}
	}
}
