package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// advisory is the part of the server's MAX_DELIVERIES and MSG_TERMINATED advisories that matters here.
type advisory struct {
	Stream     string `json:"stream"`
	Consumer   string `json:"consumer"`
	StreamSeq  uint64 `json:"stream_seq"`
	Deliveries int    `json:"deliveries"`
}

// RunCrashLoops buries messages that were delivered MaxDeliver times without an end: whoever handles them dies. The server's advisories are kept in
// a stream, so that it also works when everybody was dead at the time, and any process can do it for any stage. It returns when ctx ends.
func RunCrashLoops(ctx context.Context, b *Broker, version string, log *slog.Logger) error {
	consumer, err := b.consumer(ctx, StreamAdvisories, crashLoops())
	if err != nil {
		return stopped(ctx, err)
	}
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		left := stranded{broker: b}
		left.run(ctx, log, func(seq uint64) error { return b.comeAgain(ctx, seq, version, log) })
	})
	b.pull(ctx, consumer, log, func(context.Context) {}, func(msg jetstream.Msg) {
		if err := b.buryCrashLoop(ctx, msg.Data(), version, log); err != nil {
			log.Error("crash loop not buried yet", "err", err)
			_ = msg.NakWithDelay(5 * time.Second) // else it comes back after its ack wait
			return
		}
		_ = msg.Ack() // else it comes again, and finds nothing to do
	}, func(msg jetstream.Msg) { _ = msg.Nak() })
	return nil
}

// buryCrashLoop moves the message that an advisory names to the dead letters.
func (b *Broker) buryCrashLoop(ctx context.Context, data []byte, version string, log *slog.Logger) error {
	var a advisory
	if err := json.Unmarshal(data, &a); err != nil || a.Stream != StreamJobs {
		log.Error("advisory not understood", "advisory", string(data))
		return nil //nolint:nilerr // it would not be understood the next time either
	}
	return b.buryMessage(ctx, a.StreamSeq, a.Deliveries, version, log)
}

// buryMessage moves a message that nobody will be given again to the dead letters. It is idempotent: a message that is gone was dealt with.
func (b *Broker) buryMessage(ctx context.Context, seq uint64, deliveries int, version string, log *slog.Logger) error {
	m, err := b.left(ctx, seq)
	if err != nil || m == nil {
		return err
	}
	return b.buryLeft(ctx, m, deliveries, version, log)
}

// leftMessage is a message of the work queue that nobody will be given again.
type leftMessage struct {
	Queued
	over   bool // its pass has ended already
	stream jetstream.Stream
}

// left reads such a message, nil when it is gone.
func (b *Broker) left(ctx context.Context, seq uint64) (*leftMessage, error) {
	stream, err := b.js.Stream(ctx, StreamJobs)
	if err != nil {
		return nil, missing("stream "+StreamJobs, err)
	}
	raw, err := stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil //nolint:nilnil // as the comment says
	}
	if err != nil {
		return nil, fmt.Errorf("read message %d of %s: %w", seq, StreamJobs, err)
	}
	q := queued(raw)
	over, err := b.over(ctx, q.Work, q.At)
	if err != nil {
		return nil, err
	}
	return &leftMessage{Queued: q, over: over, stream: stream}, nil
}

func (b *Broker) buryLeft(ctx context.Context, m *leftMessage, deliveries int, version string, log *slog.Logger) error {
	if m.over {
		log.Info("a message of a job that has ended is removed", "stage", m.Stage, "job", m.Work.ID)
		return m.remove(ctx)
	}
	record := m.record()
	record.Class, record.Attempts, record.Version = failure.CrashLoop, deliveries, version
	record.Message = fmt.Sprintf("delivered %d times without an end: whoever works on it dies or freezes", deliveries)
	if _, err := b.bury(ctx, record); err != nil {
		return err
	}
	if err := m.remove(ctx); err != nil {
		return err
	}
	log.Warn("crash loop buried", "stage", record.Stage, "dead_letter", record.ID, "source", record.Job.Source.Path())
	return nil
}

// remove deletes it from the queue; one that is gone is.
func (m *leftMessage) remove(ctx context.Context) error {
	if err := m.stream.DeleteMsg(ctx, m.Seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("delete message %d of %s: %w", m.Seq, StreamJobs, err)
	}
	return nil
}

// workOf reads the job out of a message of any stage; what can't be read is zero.
func workOf(stageName string, data []byte) job.Job {
	if stageName == stage.Ingest {
		var m event.Dropped
		_ = json.Unmarshal(data, &m) // an unreadable message has no job
		return m.Work()
	}
	var m event.Ingested
	_ = json.Unmarshal(data, &m) // an unreadable message has no job
	return m.Job
}

// Sweeper is RunCrashLoops as a service that a process runs beside its others.
type Sweeper struct {
	broker  *Broker
	version string
	log     *slog.Logger
}

// NewSweeper returns a sweeper for the process with this version of pdfmill.
func NewSweeper(b *Broker, version string, log *slog.Logger) *Sweeper {
	return &Sweeper{broker: b, version: version, log: log}
}

// Name implements lifecycle.Service.
func (s *Sweeper) Name() string { return "crash-loops" }

// Ready implements lifecycle.Service.
func (s *Sweeper) Ready() error { return s.broker.Healthy() }

// Run implements lifecycle.Service.
func (s *Sweeper) Run(ctx context.Context) error {
	return RunCrashLoops(ctx, s.broker, s.version, s.log)
}
