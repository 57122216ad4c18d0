package jet

import (
	"context"
	"hash/maphash"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// toldLasts is how long it is remembered what was told, from the last question on.
const toldLasts = 10 * time.Minute

// told remembers ids of events: all that were stored since the earliest time that somebody asked about. So each event is read once, however many ask. It holds some 20 bytes
// an event, of which the bound of the stream leaves a few millions, and forgets them when nobody asks.
type told struct {
	js     jetstream.JetStream
	turn   chan struct{} // of who may use what follows
	forget *time.Timer
	seed   maphash.Seed
	ids    map[uint64]struct{} // hashes; nil: nothing is known
	from   time.Time           // stored since
	first  uint64              // sequences
	last   uint64
}

func newTold(js jetstream.JetStream) *told {
	t := &told{js: js, turn: make(chan struct{}, 1), seed: maphash.MakeSeed()}
	t.forget = time.AfterFunc(toldLasts, func() {
		t.turn <- struct{}{}
		t.ids = nil
		<-t.turn
	})
	return t
}

// since reports whether an event with an id was stored since a time; the zero time asks about all.
func (t *told) since(ctx context.Context, from time.Time, id string) (bool, error) {
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case t.turn <- struct{}{}:
	}
	defer func() { <-t.turn }()
	t.forget.Reset(toldLasts)
	stream, err := t.js.Stream(ctx, StreamEvents)
	if err != nil {
		return false, missing("stream "+StreamEvents, err)
	}
	now := stream.CachedInfo()
	last := now.State.LastSeq
	if t.ids == nil || last < t.last { // the stream may have been made anew
		t.ids, t.from, t.first, t.last = map[uint64]struct{}{}, now.TimeStamp, last+1, last
	}
	if from.Before(t.from) {
		config := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from}
		if from.IsZero() {
			config = jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
		}
		first, err := t.read(ctx, config, t.first-1)
		if err != nil {
			return false, err
		}
		t.from, t.first = from, min(t.first, first)
	}
	if t.last < last {
		if _, err := t.read(ctx, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: t.last + 1}, last); err != nil {
			return false, err
		}
		t.last = last
	}
	_, is := t.ids[t.hash(id)]
	return is, nil
}

func (t *told) hash(id string) uint64 { return maphash.String(t.seed, id) }

// read takes in the ids of events up to a sequence, and returns the first one's.
func (t *told) read(ctx context.Context, from jetstream.ConsumerConfig, last uint64) (first uint64, err error) {
	first = last + 1
	err = look(ctx, t.js, from, func(msg jetstream.Msg, seq uint64) (enough bool) {
		if seq <= last {
			first = min(first, seq)
			t.ids[t.hash(msg.Headers().Get("ce-id"))] = struct{}{}
		}
		return seq >= last
	})
	return first, err
}
