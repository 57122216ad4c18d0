package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// times sums up how long something took, in milliseconds.
type times struct {
	Median  float64 `json:"median_ms"`
	P95     float64 `json:"p95_ms"`
	Longest float64 `json:"longest_ms"`
	N       int     `json:"n"`
}

// memory of a process, in MB (10⁶ bytes).
type memory struct {
	Now  float64 `json:"now_mb"`
	Peak float64 `json:"peak_mb"`
}

// level is what was measured at one depth.
type level struct {
	Depth       int               `json:"depth"`
	Load        string            `json:"load"`           // of the machine, as /proc/loadavg tells it
	Filled      float64           `json:"filled_per_s"`   // ranges published a second
	Bytes       int64             `json:"bytes_stored"`   // by NATS
	Consumer    float64           `json:"new_consumer_s"` // seconds to make one whose messages all wait
	Head        times             `json:"head"`           // the first range: asked for, got, acknowledged
	Urgent      times             `json:"urgent"`         // published, asked for, got, acknowledged, past all others
	Publish     times             `json:"publish"`        // an atomic batch of ten ranges
	Look        times             `json:"look"`           // as ingest's gate looks at the queue
	Read        float64           `json:"read_per_s"`     // messages, of who reads the whole queue
	Documents   float64           `json:"documents_per_s"`
	NATS        memory            `json:"nats"`     // when all was published
	Restarted   memory            `json:"nats_new"` // after a restart
	Services    map[string]memory `json:"services"`
	Restart     float64           `json:"restart_s"`      // of a server that ended, until it answers
	AfterKilled float64           `json:"after_killed_s"` // of one that was killed
}

const (
	heads   = 1000
	urgents = 300
	batches = 100
	looks   = 40
	readFor = 3 * time.Second
	workFor = 20 * time.Second
)

func (r *rig) measure(ctx context.Context, depth int) (l level, err error) {
	began := time.Now()
	if err := r.fill(ctx, r.filled, depth); err != nil {
		return l, err
	}
	l.Filled = float64(depth-r.filled) / time.Since(began).Seconds()
	l.Depth, r.filled = depth, depth
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return l, err
	}
	l.Load = strings.TrimSpace(string(load))
	if l.NATS, err = r.nats.held(); err != nil {
		return l, err
	}
	if l.Bytes, err = stored(filepath.Join(r.temp, "nats")); err != nil {
		return l, err
	}
	for _, step := range []func(context.Context, *level) error{r.heads, r.urgents, r.batches, r.looks, r.read, r.work, r.restart} {
		if err := step(ctx, &l); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (p *program) held() (m memory, err error) {
	m.Now, m.Peak, err = p.memory()
	return m, err
}

// heads makes the consumer of the bulk lane anew, and takes from the head.
func (r *rig) heads(ctx context.Context, l *level) error {
	subject := event.SubjectValidated(engine, job.LaneBulk)
	if err := r.broker.JS().DeleteConsumer(ctx, jet.StreamJobs, jet.Durable(subject)); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err
	}
	began := time.Now()
	consumer, err := r.broker.JS().CreateOrUpdateConsumer(ctx, jet.StreamJobs, jet.Consumer(subject))
	if err != nil {
		return err
	}
	l.Consumer = time.Since(began).Seconds()
	l.Head, err = timed(heads, func(int) error { return takeOne(ctx, consumer) })
	return err
}

// takeOne takes the first message and acknowledges it, as a stage does.
func takeOne(ctx context.Context, consumer jetstream.Consumer) error {
	msg, err := consumer.Next(jetstream.FetchMaxWait(time.Minute))
	if err != nil {
		return err
	}
	return msg.DoubleAck(ctx)
}

func (r *rig) urgents(ctx context.Context, l *level) error {
	consumer, err := r.broker.JS().CreateOrUpdateConsumer(ctx, jet.StreamJobs, jet.Consumer(event.SubjectValidated(engine, job.LaneInteractive)))
	if err != nil {
		return err
	}
	l.Urgent, err = timed(urgents, func(int) error {
		r.urgent++
		if err := r.broker.Publish(ctx, r.numbered(r.urgent, job.LaneInteractive)); err != nil {
			return err
		}
		return takeOne(ctx, consumer)
	})
	return err
}

func (r *rig) batches(ctx context.Context, l *level) (err error) {
	l.Publish, err = timed(batches, func(int) error {
		var outputs []stage.Output
		for range 10 {
			outputs = append(outputs, r.numbered(r.filled, job.LaneBulk))
			r.filled++
		}
		return r.broker.Publish(ctx, outputs...)
	})
	return err
}

// looks takes the looks of ingest's gate: messages by subject, and what is in work.
func (r *rig) looks(ctx context.Context, l *level) error {
	stream, err := r.broker.JS().Stream(ctx, jet.StreamJobs)
	if err != nil {
		return err
	}
	l.Look, err = timed(looks, func(int) error {
		if _, err := stream.Info(ctx, jetstream.WithSubjectFilter("pdf.>")); err != nil {
			return err
		}
		consumers := stream.ListConsumers(ctx)
		for range consumers.Info() { //nolint:revive // it is the asking that takes time
		}
		return consumers.Err()
	})
	return err
}

// read reads the queue from its head for a while, as sweeps and rebuilds read all of it.
func (r *rig) read(ctx context.Context, l *level) error {
	began, n := time.Now(), 0
	for _, err := range r.broker.Queue(ctx) {
		if err != nil {
			return err
		}
		if n++; time.Since(began) > readFor {
			break
		}
	}
	l.Read = float64(n) / time.Since(began).Seconds()
	return nil
}

// work has one replica of each service that follows work at the head for a while.
func (r *rig) work(ctx context.Context, l *level) error {
	running := map[string]*program{}
	defer func() {
		for _, p := range running {
			p.stop()
		}
	}()
	for _, name := range []string{"ingest", "validator", "gpu-runner", "publisher"} {
		p, err := r.service(name)
		if err != nil {
			return err
		}
		running[name] = p
	}
	events, err := r.broker.JS().Stream(ctx, jet.StreamEvents)
	if err != nil {
		return err
	}
	ended := func() (uint64, error) {
		info, err := events.Info(ctx)
		if err != nil {
			return 0, err
		}
		return info.State.LastSeq, nil
	}
	was, err := ended()
	if err != nil {
		return err
	}
	now := was
	if err := until(ctx, func() bool { now, err = ended(); return err != nil || now > was }); err != nil {
		return fmt.Errorf("no document ended: %w", err)
	}
	if err != nil {
		return err
	}
	began, first := time.Now(), now
	if err := until(ctx, func() bool { return time.Since(began) > workFor }); err != nil {
		return err
	}
	if now, err = ended(); err != nil {
		return err
	}
	l.Documents = float64(now-first) / time.Since(began).Seconds()
	l.Services = map[string]memory{}
	for name, p := range running {
		if l.Services[name], err = p.held(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// restart ends the server and kills it, and each time waits until it answers again.
func (r *rig) restart(ctx context.Context, l *level) error {
	for _, how := range []struct {
		end     func()
		seconds *float64
	}{{r.nats.stop, &l.Restart}, {func() { r.nats.kill() }, &l.AfterKilled}} {
		how.end()
		r.broker.Close()
		r.broker = nil
		began := time.Now()
		if err := r.startNATS(ctx); err != nil {
			return err
		}
		*how.seconds = time.Since(began).Seconds()
	}
	var err error
	l.Restarted, err = r.nats.held()
	return err
}

// timed does something n times, one after the other.
func timed(n int, do func(i int) error) (times, error) {
	took := make([]float64, 0, n)
	for i := range n {
		began := time.Now()
		if err := do(i); err != nil {
			return times{}, err
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
	}
	slices.Sort(took)
	return times{Median: took[n/2], P95: took[n*95/100], Longest: took[n-1], N: n}, nil
}
