package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// Queued is a message of the work queue: waiting, in work, or waiting for another attempt.
type Queued struct {
	Seq     uint64
	Subject string
	Stage   string
	Work    job.Job      // of a drop that is not read yet, only what its hint says
	Range   *pages.Range // of a message about one
	Total   int          // pages of the document, when they are counted
	At      time.Time    // stored
	Header  nats.Header
	Data    []byte
}

// Queue yields every message of the work queue in the order of the stream, until it has seen the last. It misses no job that is there all the while: whoever hands
// a job on publishes the next message, which is further behind, before the former one is gone. It asks the stream's leader, a message at a
// time: some thousand a second. An error ends it.
func (b *Broker) Queue(ctx context.Context) iter.Seq2[Queued, error] {
	return func(yield func(Queued, error) bool) {
		stream, err := b.js.Stream(ctx, StreamJobs)
		if err != nil {
			yield(Queued{}, missing("stream "+StreamJobs, err))
			return
		}
		for seq := uint64(1); ; {
			raw, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(">"))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return
			}
			if err != nil {
				yield(Queued{}, fmt.Errorf("read %s from message %d on: %w", StreamJobs, seq, err))
				return
			}
			if !yield(queued(raw), nil) {
				return
			}
			seq = raw.Sequence + 1
		}
	}
}

// queued reads what a message is about; what can't be read is zero.
func queued(raw *jetstream.RawStreamMsg) Queued {
	q := Queued{Seq: raw.Sequence, Subject: raw.Subject, Stage: StageOf(raw.Subject), At: raw.Time, Header: raw.Header, Data: raw.Data}
	q.Work = workOf(q.Stage, raw.Data)
	var about struct {
		Range pages.Range `json:"range"`
		Total int         `json:"total"`
	}
	if !event.IsDropped(raw.Subject) && json.Unmarshal(raw.Data, &about) == nil {
		if q.Total = about.Total; about.Range.Valid() {
			q.Range = &about.Range
		}
	}
	return q
}
