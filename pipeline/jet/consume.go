package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Loop describes how a stage consumes one subject.
type Loop struct {
	Stage       string
	Subject     string
	Concurrency int           // messages in work at once
	Grace       time.Duration // for the message in hand at shutdown; default 20 s
	Observer    Observer      // may be nil
	Version     string        // of pdfmill, for dead letters
	Log         *slog.Logger
}

const (
	defaultGrace = 20 * time.Second
	// publishWait bounds one attempt to publish an outcome; the message stays in hand and is tried again.
	publishWait = 15 * time.Second
)

// Run consumes until ctx ends, then drains: no new message, the ones in hand get Grace, then are given back at once. It returns
// an error only when the consumer can't be made.
//
//	pull ─▶ decode ─▶ handle (heartbeats) ─▶ publish outputs ─▶ ack, confirmed
//	           │          │ failed: transient ─▶ nak with delay
//	           └──────────┴ failed: permanent, or budget spent ─▶ publish dead letter ─▶ publish the job's ending ─▶ ack
//
// Whatever is published before the ack is idempotent by id, so that dying anywhere only repeats it.
func Run[B stage.Body](ctx context.Context, b *Broker, l Loop, handle stage.Handler[B]) error {
	consumer, err := b.js.CreateOrUpdateConsumer(ctx, StreamJobs, Consumer(l.Subject))
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return missing("consumer "+Durable(l.Subject)+" on stream "+StreamJobs, err)
	}
	if l.Grace == 0 {
		l.Grace = defaultGrace
	}
	w := &worker[B]{broker: b, loop: l, handle: handle, consumer: consumer}
	kill, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var group sync.WaitGroup
	for range max(l.Concurrency, 1) {
		group.Go(func() { w.consume(ctx, kill) })
	}
	<-ctx.Done()
	timer := time.AfterFunc(l.Grace, stop)
	defer timer.Stop()
	group.Wait()
	return nil
}

type worker[B stage.Body] struct {
	broker   *Broker
	loop     Loop
	handle   stage.Handler[B]
	consumer jetstream.Consumer
}

// consume works on one message after the other. ctx ends the pulling, kill the work in hand.
func (w *worker[B]) consume(ctx, kill context.Context) {
	pull(ctx, w.consumer, w.loop.Log, func(msg jetstream.Msg) {
		if ctx.Err() != nil {
			w.giveBack(msg, 0)
			return
		}
		w.one(kill, msg)
	}, func(msg jetstream.Msg) { w.giveBack(msg, 0) })
}

// one takes a message to its outcome.
func (w *worker[B]) one(kill context.Context, msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		w.loop.Log.Error("message without JetStream metadata", "subject", msg.Subject(), "err", err)
		return
	}
	ctx, cancel := context.WithCancel(kill)
	defer cancel()
	defer keepAlive(ctx, msg)()

	started := time.Now()
	d := stage.Delivery[B]{Attempt: int(meta.NumDelivered)}
	outputs, err := w.work(ctx, msg, &d)
	o := Observation{
		Stage: w.loop.Stage, Outcome: Done, Attempt: d.Attempt, Seconds: time.Since(started).Seconds(), Outputs: outputs, Err: err,
		Work: d.Body.Work(), Range: rangeOf(d.Body),
	}
	if err == nil {
		if err = w.publish(ctx, outputs); err == nil {
			w.ack(ctx, msg)
			w.observe(o)
			return
		}
		err = failure.New(failure.StoreUnavailable, "publish what follows", "", err)
	}
	if kill.Err() != nil {
		w.giveBack(msg, 0)
		return
	}
	w.failed(ctx, msg, meta, o, err)
}

// work decodes and handles a message; a panic is a failure of the message, not of the process.
func (w *worker[B]) work(ctx context.Context, msg jetstream.Msg, d *stage.Delivery[B]) (outputs []stage.Output, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = failure.Newf(failure.Crash, "handle message in", w.loop.Stage, "panic: %v", cause).WithDetail(string(debug.Stack()))
		}
	}()
	if err := json.Unmarshal(msg.Data(), &d.Body); err != nil {
		return nil, failure.New(failure.InvalidMessage, "decode message", msg.Subject(), err)
	}
	if err := d.Body.Validate(); err != nil {
		return nil, failure.New(failure.InvalidMessage, "read message", msg.Subject(), err)
	}
	w.observe(Observation{Stage: w.loop.Stage, Outcome: Started, Work: d.Body.Work(), Range: rangeOf(d.Body), Attempt: d.Attempt})
	return w.handle(ctx, *d)
}

// failed retries or buries.
func (w *worker[B]) failed(ctx context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata, o Observation, err error) {
	class := failure.ClassOf(err, failure.EngineError)
	retry := decide(err, class, o.Attempt, rand.New(rand.NewPCG(meta.Sequence.Stream, meta.NumDelivered)))
	o.Err, o.Class, o.Delay, o.Outputs = err, class, retry.Delay, nil
	log := w.loop.Log.With("stage", w.loop.Stage, "class", class, "attempt", o.Attempt, "source", o.Work.Source.Path(), "job", o.Work.ID)
	if !retry.Dead {
		log.Warn("will try again", "in", retry.Delay.Round(time.Millisecond), "err", err)
		w.giveBack(msg, retry.Delay)
		o.Outcome = Retried
		w.observe(o)
		return
	}
	record := w.record(msg, meta, o)
	endings, err := w.broker.bury(ctx, record)
	if err != nil {
		// Nothing is lost: the message is still in the queue and comes back.
		log.Error("could not bury a dead message, will try again", "err", err)
		w.giveBack(msg, 5*time.Second)
		return
	}
	w.ack(ctx, msg)
	log.Warn("dead letter", "err", o.Err, "dead_letter", record.ID)
	o.Outcome, o.Outputs = Died, endings
	w.observe(o)
}

func (w *worker[B]) record(msg jetstream.Msg, meta *jetstream.MsgMetadata, o Observation) deadletter.Record {
	host, _ := os.Hostname() // an unknown host is an empty one
	return deadletter.Record{
		ID:    deadletter.RecordID(w.loop.Stage, messageID(msg.Headers(), meta.Sequence.Stream)),
		Stage: w.loop.Stage, Class: o.Class, Message: failure.Sentence(o.Err), Chain: failure.Chain(o.Err), Detail: failure.DetailOf(o.Err),
		Job: o.Work, PageRange: o.Range, Subject: msg.Subject(), Headers: msg.Headers(), Payload: deadletter.RawPayload(msg.Data()),
		Sequence: meta.Sequence.Stream, Attempts: o.Attempt, FirstAttempt: meta.Timestamp, DiedAt: time.Now().UTC(), Host: host, Version: w.loop.Version,
	}
}

// messageID is the id a message was published with, or one made of its place in the stream.
func messageID(headers nats.Header, sequence uint64) string {
	if id := headers.Get(jetstream.MsgIDHeader); id != "" {
		return id
	}
	return fmt.Sprintf("%s:%d", StreamJobs, sequence)
}

// bury publishes the dead letter, then what ends the job.
func (b *Broker) bury(ctx context.Context, r deadletter.Record) ([]stage.Output, error) {
	seq, err := deadletter.Publish(ctx, b.js, r)
	if err != nil {
		return nil, err
	}
	endings := event.Ending(r, seq, r.DiedAt)
	return endings, b.Publish(ctx, endings...)
}

// publish tries until it succeeds or the work is to end: a refusing broker (full, leaderless, away) holds the stage back, it fails no document.
func (w *worker[B]) publish(ctx context.Context, outputs []stage.Output) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		attempt, cancel := context.WithTimeout(ctx, publishWait)
		err := w.broker.Publish(attempt, outputs...)
		cancel()
		if err == nil || ctx.Err() != nil || errors.Is(err, nats.ErrMaxPayload) {
			return err
		}
		w.loop.Log.Warn("publish refused, holding the message", "stage", w.loop.Stage, "err", err, "retry_in", pause)
		wait(ctx, pause)
	}
}

// ack confirms the end of a message. When it fails the message comes again, and finds its work done.
func (w *worker[B]) ack(ctx context.Context, msg jetstream.Msg) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := msg.DoubleAck(ctx); err != nil {
		w.loop.Log.Warn("ack not confirmed: the message will come again", "stage", w.loop.Stage, "err", err)
	}
}

func (w *worker[B]) giveBack(msg jetstream.Msg, delay time.Duration) {
	if err := msg.NakWithDelay(delay); err != nil {
		w.loop.Log.Warn("nak failed: the message comes back after its ack wait", "stage", w.loop.Stage, "err", err)
	}
}

func (w *worker[B]) observe(o Observation) {
	if w.loop.Observer != nil {
		w.loop.Observer.Observe(o)
	}
}

// keepAlive sends heartbeats for msg until the returned function is called, which waits for the last one.
func keepAlive(ctx context.Context, msg jetstream.Msg) (stop func()) {
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		ticker := time.NewTicker(AckWait / 3)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-ticker.C:
				_ = msg.InProgress() // a lost heartbeat is made up by the next; a lost connection by redelivery
			}
		}
	})
	return func() { close(done); group.Wait() }
}

// rangeOf is the page range a body is about, when it is about one.
func rangeOf(body any) *pages.Range {
	if m, ok := body.(event.Range); ok {
		return &m.Range
	}
	return nil
}

// wait pauses, or returns early when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
