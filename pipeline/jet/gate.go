package jet

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Gate keeps the queue behind ingest short, so that what waits, waits where sources take turns, and nobody's million documents stand before another's ten. It
// lets ingest take a message for each that may still be added behind it:
//
//	ahead + 2 × messages in work behind ingest − messages that wait there
//
// Who asks first goes first. So each lane of drops gets as many turns as it has askers, however much it holds.
type Gate struct {
	broker *Broker
	ahead  int
	log    *slog.Logger
	turns  chan struct{}
	stream jetstream.Stream // once it was found
}

const (
	// gateEvery is how often the queue is looked at while nobody may go, gateSoon how long a look counts at least.
	gateEvery = 250 * time.Millisecond
	gateSoon  = 50 * time.Millisecond
)

// NewGate makes a closed gate; Run opens it.
func NewGate(b *Broker, ahead int, log *slog.Logger) *Gate {
	return &Gate{broker: b, ahead: ahead, log: log, turns: make(chan struct{})}
}

// Run lets askers through until ctx ends.
func (g *Gate) Run(ctx context.Context) {
	for ctx.Err() == nil {
		room, err := g.room(ctx)
		if err != nil && ctx.Err() == nil {
			g.log.Warn("can't tell how much waits behind ingest, will look again", "err", err)
		}
		g.admit(ctx, room)
	}
}

// admit gives so many turns, for a while.
func (g *Gate) admit(ctx context.Context, room int) {
	over := time.NewTimer(gateEvery)
	defer over.Stop()
	soon := time.NewTimer(gateSoon)
	defer soon.Stop()
	for range room {
		select {
		case g.turns <- struct{}{}:
		case <-over.C:
			return
		case <-ctx.Done():
			return
		}
	}
	next := soon.C
	if room <= 0 {
		next = over.C
	}
	select {
	case <-next:
	case <-ctx.Done():
	}
}

// wait returns when the caller may go on, or ctx ends.
func (g *Gate) wait(ctx context.Context) {
	if g == nil {
		return
	}
	select {
	case <-g.turns:
	case <-ctx.Done():
	}
}

// room is how many messages more may be behind ingest.
func (g *Gate) room(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	if g.stream == nil {
		stream, err := g.broker.js.Stream(ctx, StreamJobs)
		if err != nil {
			return 0, missing("stream "+StreamJobs, err)
		}
		g.stream = stream
	}
	info, err := g.stream.Info(ctx, jetstream.WithSubjectFilter("pdf.>"))
	if err != nil {
		return 0, fmt.Errorf("look at %s: %w", StreamJobs, err)
	}
	queues := map[string]*behind{}
	for subject, n := range info.State.Subjects {
		if StageOf(subject) != stage.Ingest {
			queueOf(queues, subject).there += int(min(n, MaxQueued)) //nolint:gosec // bounded
		}
	}
	consumers := g.stream.ListConsumers(ctx)
	for info := range consumers.Info() {
		if StageOf(info.Config.FilterSubject) != stage.Ingest {
			q := queueOf(queues, info.Config.FilterSubject)
			q.inWork += info.NumAckPending
			q.served = q.served || info.NumAckPending > 0 || info.NumWaiting > 0
		}
	}
	if err := consumers.Err(); err != nil {
		return 0, fmt.Errorf("list consumers of %s: %w", StreamJobs, err)
	}
	return room(g.ahead, queues), nil
}

// behind is a queue behind ingest: a stage's, or an engine's.
type behind struct {
	there, inWork int // messages; those in work are among those there
	served        bool
}

// queueOf is the queue of a subject. The lanes of an engine are one.
func queueOf(queues map[string]*behind, subject string) *behind {
	name := StageOf(subject)
	if tail, isRange := strings.CutPrefix(subject, "pdf.validated."); isRange {
		engine, _, _ := strings.Cut(tail, ".")
		name += " " + engine
	}
	if queues[name] == nil {
		queues[name] = &behind{}
	}
	return queues[name]
}

// room is how many messages may be added to these queues. What waits for an engine that nobody serves counts only while nobody serves any: else it would hold up
// everybody.
func room(ahead int, queues map[string]*behind) int {
	anybody := false
	for name, q := range queues {
		anybody = anybody || (q.served && strings.HasPrefix(name, stage.GPURunner+" "))
	}
	for name, q := range queues {
		if !anybody || q.served || !strings.HasPrefix(name, stage.GPURunner+" ") {
			ahead += 2*q.inWork - (q.there - q.inWork)
		}
	}
	return ahead
}
