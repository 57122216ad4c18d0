package jet

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/pdfmill/pdfmill/pipeline/crashpoint"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// publishWait bounds one attempt to publish an outcome; the message stays in hand and is tried again.
const publishWait = 15 * time.Second

// noHiccup is the pause from which on somebody has to hear of it, once a message: a full disk, a wrong password, a server that is down for good.
const noHiccup = 4 * time.Second

// hold handles a message, and handles it again for as long as the store refuses: keeping it costs no attempt, and fetching others would only fail
// them too. It ends early when the process wants to stop (drain) or the work must (ctx).
func (w *worker[B]) hold(ctx, drain context.Context, d stage.Delivery[B]) ([]stage.Output, error) {
	until, told := time.Now().Add(w.loop.StorePatience), false
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		outputs, err := w.work(ctx, d)
		if failure.ClassOf(err, "") != failure.StoreUnavailable || failure.Permanent(err) || ctx.Err() != nil || drain.Err() != nil || time.Now().After(until) {
			return outputs, err
		}
		level := slog.LevelWarn
		if pause >= noHiccup && !told {
			level, told = slog.LevelError, true
		}
		w.loop.Log.Log(ctx, level, "the store refuses, holding the message", "stage", w.loop.Stage, "err", err, "retry_in", pause)
		waitFor(pause, ctx.Done(), drain.Done())
	}
}

// publish stores what follows a message.
func (w *worker[B]) publish(ctx context.Context, outputs []stage.Output) error {
	err := w.broker.Insist(ctx, w.loop.Log.With("stage", w.loop.Stage), outputs...)
	if err == nil && len(outputs) > 0 {
		crashpoint.Reach(w.loop.Stage, crashpoint.AfterPublish)
	}
	return err
}

// Insist publishes outputs, and tries until it succeeds or ctx ends: a refusing broker (full, leaderless, away) holds a stage back, it fails no document. Only
// what is larger than the broker ever takes is an error at once.
func (b *Broker) Insist(ctx context.Context, log *slog.Logger, outputs ...stage.Output) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		attempt, cancel := context.WithTimeout(ctx, publishWait)
		err := b.Publish(attempt, outputs...)
		cancel()
		if err == nil || ctx.Err() != nil || errors.Is(err, nats.ErrMaxPayload) {
			return err
		}
		log.Warn("publish refused, holding the message", "err", err, "retry_in", pause)
		wait(ctx, pause)
	}
}

// waitFor pauses until one of the channels is closed, at most d.
func waitFor(d time.Duration, a, b <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-a:
	case <-b:
	case <-timer.C:
	}
}
