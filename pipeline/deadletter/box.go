package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrNotFound says that no dead letter has the given id.
var ErrNotFound = errors.New("no such dead letter")

// Box is the operator's hand on the dead letters of one server: list, group, read, replay, drop. It is safe for concurrent use.
type Box struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	marks  jetstream.KeyValue
}

// Entry is a dead letter with its place in the stream and what became of it.
type Entry struct {
	Record
	Seq      uint64    `json:"seq"`
	StoredAt time.Time `json:"stored_at"`
	// Replayed reports whether a later pass of the same drop was started; the other fields are about the drop's last replay.
	Replayed   bool      `json:"replayed"`
	ReplayedAt time.Time `json:"replayed_at,omitzero"`
	By         string    `json:"by,omitempty"`
	Count      int       `json:"count"` // replays of the drop so far
}

// NewBox opens the dead letters. It fails when the topology is not there.
func NewBox(ctx context.Context, js jetstream.JetStream) (*Box, error) {
	stream, err := js.Stream(ctx, Stream)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w (create it with: pdfmill topology apply)", Stream, err)
	}
	marks, err := js.KeyValue(ctx, Replays)
	if err != nil {
		return nil, fmt.Errorf("open KV bucket %s: %w (create it with: pdfmill topology apply)", Replays, err)
	}
	return &Box{js: js, stream: stream, marks: marks}, nil
}

// List yields the dead letters that f selects, oldest first: those that are there when it starts. An error ends the iteration.
func (b *Box) List(ctx context.Context, f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := f.Validate(); err != nil {
			yield(Entry{}, err)
			return
		}
		known := map[string]Mark{} // many pages of one document are one mark
		for e, err := range b.scan(ctx, f.subject()) {
			if err == nil && !f.matches(e.Record) {
				continue
			}
			if err == nil {
				err = b.annotate(ctx, &e, known)
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if e.Replayed && !f.Replayed {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Get returns one dead letter, or ErrNotFound.
func (b *Box) Get(ctx context.Context, id string) (Entry, error) {
	for e, err := range b.List(ctx, Filter{IDs: []string{id}, Replayed: true}) {
		return e, err
	}
	return Entry{}, fmt.Errorf("dead letter %q: %w", id, ErrNotFound)
}

// Drop removes dead letters for good and returns how many it removed. Ids that are not there are named in an error that wraps
// ErrNotFound; the others are removed all the same.
func (b *Box) Drop(ctx context.Context, ids ...string) (dropped int, err error) {
	places := map[string]uint64{}
	for e, err := range b.List(ctx, Filter{IDs: ids, Replayed: true}) {
		if err != nil {
			return 0, err
		}
		places[e.ID] = e.Seq
	}
	var missing []error
	for _, id := range ids {
		seq, found := places[id]
		delete(places, id) // an id given twice is removed once
		if !found {
			missing = append(missing, fmt.Errorf("drop dead letter %q: %w", id, ErrNotFound))
			continue
		}
		err := b.stream.DeleteMsg(ctx, seq)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound): // somebody else dropped it meanwhile
		case err != nil:
			return dropped, fmt.Errorf("drop dead letter %q: %w", id, err)
		default:
			dropped++
		}
	}
	return dropped, errors.Join(missing...)
}

// annotate says what became of a record.
func (b *Box) annotate(ctx context.Context, e *Entry, known map[string]Mark) error {
	mark, ok := known[e.Job.Drop]
	if !ok {
		var err error
		if mark, err = b.mark(ctx, e.Job.Drop); err != nil {
			return err
		}
		known[e.Job.Drop] = mark
	}
	e.Replayed = e.Job.Pass < mark.Pass
	e.ReplayedAt, e.By, e.Count = mark.ReplayedAt, mark.By, mark.Count
	return nil
}

// scanBatch is small, because a record may be as large as a message may be.
const scanBatch = 32

// scan yields every record on a subject that is stored by now.
func (b *Box) scan(ctx context.Context, subject string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		fail := func(err error) { yield(Entry{}, fmt.Errorf("read stream %s: %w", Stream, err)) }
		info, err := b.stream.Info(ctx)
		if err != nil {
			fail(err)
			return
		}
		last := info.State.LastSeq
		consumer, err := b.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
			FilterSubject: subject, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: time.Minute,
		})
		if err != nil {
			fail(err)
			return
		}
		defer func() {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = b.stream.DeleteConsumer(end, consumer.CachedInfo().Name) // else the server removes it after a minute
		}()
		pending := consumer.CachedInfo().NumPending
		for pending > 0 {
			if ctx.Err() != nil {
				fail(ctx.Err())
				return
			}
			batch, err := consumer.FetchNoWait(int(min(pending, scanBatch)))
			if err != nil {
				fail(err)
				return
			}
			got := false
			for msg := range batch.Messages() {
				e, left, err := entry(msg)
				if err != nil {
					fail(err)
					return
				}
				if got, pending = true, left; e.Seq > last || !yield(e, nil) {
					return
				}
			}
			if err := batch.Error(); err != nil && !errors.Is(err, jetstream.ErrNoMessages) {
				fail(err)
				return
			}
			if !got { // what was pending may have been dropped meanwhile
				now, err := consumer.Info(ctx)
				if err != nil {
					fail(err)
					return
				}
				pending = now.NumPending
			}
		}
	}
}

func entry(msg jetstream.Msg) (e Entry, pending uint64, err error) {
	meta, err := msg.Metadata()
	if err != nil {
		return e, 0, fmt.Errorf("metadata of a dead letter: %w", err)
	}
	e = Entry{Record: decode(msg.Subject(), msg.Data(), meta.Sequence.Stream), Seq: meta.Sequence.Stream, StoredAt: meta.Timestamp}
	return e, meta.NumPending, nil
}

// decode reads a record. One that can't be read is still listed, so that it can be seen and dropped.
func decode(subject string, data []byte, seq uint64) Record {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil || r.ID == "" {
		r = Record{
			ID: fmt.Sprintf("unreadable-%d", seq), Message: "this dead letter is not one of pdfmill's, or of a newer version",
			Subject: subject, Payload: RawPayload(data),
		}
	}
	return r
}
