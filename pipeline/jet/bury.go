package jet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/crashpoint"
	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// record is everything known about why a message died.
func (w *worker[B]) record(msg jetstream.Msg, meta *jetstream.MsgMetadata, o Observation) deadletter.Record {
	host, _ := os.Hostname() // an unknown host is an empty one
	id := messageID(msg.Headers(), meta.Sequence.Stream)
	if known := (*stage.Known)(nil); errors.As(o.Err, &known) {
		id = known.ID
	}
	return deadletter.Record{
		ID:    deadletter.RecordID(w.loop.Stage, id),
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
	r.Bound()
	seq, err := deadletter.Publish(ctx, b.js, r)
	if err != nil {
		return nil, err
	}
	crashpoint.Reach(r.Stage, crashpoint.AfterBury)
	endings := event.Ending(r, seq, r.DiedAt)
	if r.Stage != stage.Ingest && len(endings) == 1 && endings[0].Subject == event.SubjectFailed && r.Job.Drop != "" {
		return endings, b.endPass(ctx, r.Job, r.FirstAttempt, endings[0])
	}
	// The drop of a message that died in ingest is not the document's: the same state of an object may be dropped again, and be read then.
	return endings, b.Publish(ctx, endings...)
}
