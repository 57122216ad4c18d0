package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"
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

// widest is how many messages of the work queue are asked for at once.
const widest = 64

// Queue yields every message of the work queue in the order of the stream, until it has seen the last. It misses no job that is there all the while: whoever hands
// a job on publishes the next message, which is further behind, before the former one is gone. It asks the stream's leader, which alone knows what is gone. An error
// ends it.
//
// Where messages are dense several are asked for at once, but only such as were there, or gone, when it began: of one that is gone when it is read the next is behind all of them.
func (b *Broker) Queue(ctx context.Context) iter.Seq2[Queued, error] {
	return func(yield func(Queued, error) bool) {
		stream, err := b.js.Stream(ctx, StreamJobs)
		if err != nil {
			yield(Queued{}, missing("stream "+StreamJobs, err))
			return
		}
		last := stream.CachedInfo().State.LastSeq
		for seq, width := uint64(1), uint64(1); ; {
			found := uint64(0)
			if width > 1 && seq+width-1 <= last {
				for raw, err := range atOnce(ctx, stream, seq, width) {
					if !yield(queued(raw), err) || err != nil {
						return
					}
					found++
				}
				seq += width
			} else {
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
				if raw.Sequence == seq {
					found, width = 1, 1
				}
				seq = raw.Sequence + 1
			}
			if 2*found >= width {
				width = min(2*width, widest)
			} else {
				width = 1
			}
		}
	}
}

// atOnce asks for n messages from one on side by side, and yields those that are there, in their order. After an error it yields no more.
func atOnce(ctx context.Context, stream jetstream.Stream, from, n uint64) iter.Seq2[*jetstream.RawStreamMsg, error] {
	messages, faults := make([]*jetstream.RawStreamMsg, n), make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { messages[i], faults[i] = stream.GetMsg(ctx, from+i) })
	}
	group.Wait()
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		for i, raw := range messages {
			switch err := faults[i]; {
			case errors.Is(err, jetstream.ErrMsgNotFound):
			case err != nil:
				yield(&jetstream.RawStreamMsg{}, fmt.Errorf("read message %d of %s: %w", from+uint64(i), StreamJobs, err)) //nolint:gosec // an index
				return
			case !yield(raw, nil):
				return
			}
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
