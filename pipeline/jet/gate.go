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
	asks   chan chan<- struct{}
	stream jetstream.Stream // once it was found
}

const (
	// gateEvery is how long a look at the queue counts, and the pause before the next one while nobody may go; gateSoon is the least time between two.
	gateEvery = 250 * time.Millisecond
	gateSoon  = 50 * time.Millisecond
)

// NewGate makes a closed gate; Run opens it.
func NewGate(b *Broker, ahead int, log *slog.Logger) *Gate {
	return &Gate{broker: b, ahead: ahead, log: log, asks: make(chan chan<- struct{})}
}

// Run lets askers through until ctx ends. While nobody asks it does not look.
func (g *Gate) Run(ctx context.Context) {
	room, looked := 0, time.Time{}
	for {
		var ask chan<- struct{}
		select {
		case ask = <-g.asks:
		case <-ctx.Done():
			return
		}
		for room <= 0 || time.Since(looked) >= gateEvery {
			wait(ctx, gateSoon-time.Since(looked))
			var err error
			room, err = g.room(ctx)
			looked = time.Now()
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				g.log.Warn("can't tell how much waits behind ingest, will look again", "err", err)
			}
			if room <= 0 {
				wait(ctx, gateEvery)
			}
		}
		room--
		close(ask)
	}
}

// wait returns when the caller may go on, or ctx ends.
func (g *Gate) wait(ctx context.Context) {
	if g == nil {
		return
	}
	turn := make(chan struct{})
	select {
	case g.asks <- turn:
	case <-ctx.Done():
		return
	}
	select {
	case <-turn:
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
			q.served = q.served || served(info)
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
