package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/crashpoint"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Loop describes how a stage consumes one subject. What it holds in memory is bounded: Concurrency messages, each at most the server's max_payload.
type Loop struct {
	Stage       string
	Subject     string
	Concurrency int           // messages in work at once
	Grace       time.Duration // for the message in hand at shutdown; default Grace
	// StorePatience is how long a message is held, alive, while the store refuses, before that counts as a failure of the message; default 10 min.
	StorePatience time.Duration
	Observer      Observer // may be nil
	Version       string   // of pdfmill, for dead letters
	Log           *slog.Logger
}

// Grace is what a message in hand gets at shutdown, unless the loop says otherwise. Who deploys gives the process a little more than that.
const Grace = 20 * time.Second

const defaultStorePatience = 10 * time.Minute

// Run consumes until ctx ends, then drains: no new message, the ones in hand get Grace, then are given back at once. It returns
// an error only when the consumer can't be made.
//
//	pull ─▶ decode ─▶ cancelled? ─▶ handle (heartbeats) ─▶ publish outputs ─▶ ack, confirmed
//	           │          │             │ store away: hold the message, try again
//	           │          │             │ failed: transient ─▶ nak with delay
//	           └──────────┴─────────────┴ failed: permanent, or budget spent ─▶ publish dead letter ─▶ publish the job's ending ─▶ ack
//
// Whatever is published before the ack is idempotent by id, so that dying anywhere only repeats it. A broker or a store that refuses (full, leaderless,
// away) holds the stage back and fails no document.
func Run[B stage.Body](ctx context.Context, b *Broker, l Loop, handle stage.Handler[B]) error {
	return RunLanes(ctx, b, l, []Lane{{Subject: l.Subject, Concurrency: l.Concurrency}}, handle)
}

// Lane is one of several subjects that a loop consumes.
type Lane struct {
	Subject     string
	Concurrency int   // messages in hand at once
	Gate        *Gate // says when the next one may be asked for; nil: at once
	// Hold returns when the lane may go on at all, or its context ends; nil: it always may.
	Hold func(context.Context)
}

// before waits until a message of the lane may be asked for.
func (l Lane) before(ctx context.Context) {
	if l.Hold != nil {
		l.Hold(ctx)
	}
	l.Gate.wait(ctx)
}

// RunLanes is Run for several subjects, with those of the lanes instead of the loop's subject and concurrency.
func RunLanes[B stage.Body](ctx context.Context, b *Broker, l Loop, lanes []Lane, handle stage.Handler[B]) error {
	consumers := make([]jetstream.Consumer, len(lanes))
	for i, lane := range lanes {
		var err error
		if consumers[i], err = b.consumer(ctx, StreamJobs, Consumer(lane.Subject)); err != nil {
			return stopped(ctx, err)
		}
	}
	if l.Grace == 0 {
		l.Grace = Grace
	}
	if l.StorePatience == 0 {
		l.StorePatience = defaultStorePatience
	}
	cancels, err := b.followCancels(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	kill, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var group sync.WaitGroup
	group.Go(func() { cancels.run(ctx, l.Log) })
	for i, lane := range lanes {
		w := &worker[B]{broker: b, loop: l, before: lane.before, handle: handle, consumer: consumers[i], cancels: cancels}
		for range max(lane.Concurrency, 1) {
			group.Go(func() { w.consume(ctx, kill) })
		}
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
	before   func(context.Context) // asking for a message
	handle   stage.Handler[B]
	consumer jetstream.Consumer
	cancels  *cancels
}

// consume works on one message after the other. ctx ends the pulling, kill the work in hand.
func (w *worker[B]) consume(ctx, kill context.Context) {
	w.broker.pull(ctx, w.consumer, w.loop.Log, w.before, func(msg jetstream.Msg) {
		if ctx.Err() != nil {
			w.giveBack(msg, 0)
			return
		}
		w.one(ctx, kill, msg)
	}, func(msg jetstream.Msg) { w.giveBack(msg, 0) })
}

// one takes a message to its outcome. drain says that the process wants to stop, kill that it does.
func (w *worker[B]) one(drain, kill context.Context, msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		w.loop.Log.Error("message without JetStream metadata", "subject", msg.Subject(), "err", err)
		return
	}
	ctx, cancel := context.WithCancelCause(kill)
	defer cancel(nil)
	defer keepAlive(ctx, msg)()

	started := time.Now()
	d := stage.Delivery[B]{ID: messageID(msg.Headers(), meta.Sequence.Stream), Attempt: int(meta.NumDelivered)}
	var outputs []stage.Output
	past := false
	err = decode(msg, &d)
	o := Observation{Stage: w.loop.Stage, Outcome: Started, Attempt: d.Attempt, Work: d.Body.Work(), Range: rangeOf(d.Body), Stored: meta.Timestamp}
	w.observe(o)
	hand, release := w.cancels.watch(o.Work, cancel)
	defer release()
	if done, failed := w.done(kill, o.Work, meta); done || failed != nil {
		w.leave(ctx, msg, o, failed)
		return
	}
	if err == nil {
		crashpoint.Reach(w.loop.Stage, crashpoint.BeforeWork)
		if ctx.Err() == nil {
			outputs, err = w.hold(ctx, drain, d)
			// What ingest has done it has published; cancelling it then would end one document twice.
			past = err == nil && w.loop.Stage == stage.Ingest
		}
	}
	o.Outcome, o.Seconds, o.Outputs, o.Err = Done, time.Since(started).Seconds(), outputs, err
	if c := w.cancels.of(hand); c != nil && !past && kill.Err() == nil {
		w.cancelled(kill, msg, meta, o, *c)
		return
	}
	if err == nil {
		crashpoint.Reach(w.loop.Stage, crashpoint.AfterStore)
		if err = w.publish(ctx, outputs); err == nil {
			w.ack(ctx, msg)
			w.observe(o)
			return
		}
		err = failure.New(failure.StoreUnavailable, "publish what follows", "", err)
	}
	if kill.Err() != nil || (drain.Err() != nil && failure.ClassOf(err, "") == failure.StoreUnavailable) {
		w.giveBack(msg, 0)
		o.Outcome, o.Outputs = GivenBack, nil
		w.observe(o)
		return
	}
	w.failed(ctx, msg, meta, o, err)
}

// done reports whether the pass of a message has ended, as a dead letter did it or, of a message that comes again, as an event tells. It asks whether the pass was cancelled as well.
func (w *worker[B]) done(ctx context.Context, work job.Job, meta *jetstream.MsgMetadata) (bool, error) {
	asked := make(chan error, 1)
	go func() { asked <- w.cancels.ask(ctx, work) }()
	ended, err := w.cancels.hasEnd(ctx, work)
	if err := errors.Join(err, <-asked); err != nil {
		return false, err
	}
	if ended {
		return true, w.broker.tell(ctx, w.cancels.kv, work)
	}
	if meta.NumDelivered < 2 {
		return false, nil
	}
	return w.broker.over(ctx, work, meta.Timestamp)
}

// leave ends a message whose pass has ended, or gives it back when that can't be known now.
func (w *worker[B]) leave(ctx context.Context, msg jetstream.Msg, o Observation, err error) {
	if o.Outcome = Skipped; err != nil {
		w.loop.Log.Warn("can't tell whether a job has ended, will try again", "stage", w.loop.Stage, "job", o.Work.ID, "err", err)
		w.giveBack(msg, time.Second)
		o.Outcome = GivenBack
	} else {
		w.ack(ctx, msg)
	}
	w.observe(o)
}

// decode reads a message; what can't be read or makes no sense is class invalid-message. Of one of a later version it reads what it can: which job it is about.
func decode[B stage.Body](msg jetstream.Msg, d *stage.Delivery[B]) error {
	err := json.Unmarshal(msg.Data(), &d.Body)
	if version := schemaOf(msg.Headers()); version > SchemaVersion {
		return failure.New(failure.Unhealthy, "read message", msg.Subject(), fmt.Errorf("%w: it is of version %d, known are those up to %d", errNewer, version, SchemaVersion)).
			WithHint("upgrade this service; what it gave up can be replayed then")
	}
	if err != nil {
		return failure.New(failure.InvalidMessage, "decode message", msg.Subject(), err)
	}
	if err := d.Body.Validate(); err != nil {
		return failure.New(failure.InvalidMessage, "read message", msg.Subject(), err)
	}
	return nil
}

// work handles a message; a panic is a failure of the message, not of the process.
func (w *worker[B]) work(ctx context.Context, d stage.Delivery[B]) (outputs []stage.Output, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = failure.Newf(failure.Crash, "handle message in", w.loop.Stage, "panic: %v", cause).WithDetail(string(debug.Stack()))
		}
	}()
	return w.handle(ctx, d)
}

// failed retries or buries.
func (w *worker[B]) failed(ctx context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata, o Observation, err error) {
	if known := (*stage.Known)(nil); errors.As(err, &known) {
		o.Work = known.Work
	}
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
		o.Outcome = GivenBack
		w.observe(o)
		return
	}
	w.ack(ctx, msg)
	log.Warn("dead letter", "err", o.Err, "dead_letter", record.ID)
	o.Outcome, o.Outputs = Died, endings
	w.observe(o)
}

// ack confirms the end of a message. When it fails the message comes again, and finds its work done.
func (w *worker[B]) ack(ctx context.Context, msg jetstream.Msg) {
	crashpoint.Reach(w.loop.Stage, crashpoint.BeforeAck)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := msg.DoubleAck(ctx); err != nil {
		w.loop.Log.Warn("ack not confirmed: the message will come again", "stage", w.loop.Stage, "err", err)
	}
	crashpoint.Reach(w.loop.Stage, crashpoint.AfterAck)
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
