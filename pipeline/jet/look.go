package jet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Stages look through what was told since some time. Whoever may make a consumer of any name on the stream of events may also change, and so remove, that of a
// subscriber: looks have these names, all processes together, and stages may make no others.
const looks = 4

func lookName(i int) string { return fmt.Sprintf("look-%d", i) }

const (
	// lookAge is how long the server keeps a look of which nobody reads.
	lookAge = 10 * time.Second
	// lookPause is the pause before a name is asked for again, when all are in use.
	lookPause = 50 * time.Millisecond
	// lookBatch is how many events, without their bodies, are asked for at once.
	lookBatch = 1024
)

// errDisturbed says that somebody else has read from the same look: one whose process stood still so long that the server gave its name to another.
var errDisturbed = errors.New("another process has read from this look through the events")

// look calls see for the header of each event that is stored by now, from a place on, until it returns true.
func look(ctx context.Context, js jetstream.JetStream, from jetstream.ConsumerConfig, see func(msg jetstream.Msg, seq uint64) (enough bool)) error {
	consumer, err := beginLook(ctx, js, from)
	if err != nil {
		return missing("stream "+StreamEvents, err)
	}
	name := consumer.CachedInfo().Name
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = js.DeleteConsumer(end, StreamEvents, name) // else the server does it after lookAge
	}()
	seen := uint64(0)
	for left := consumer.CachedInfo().NumPending; left > 0; {
		batch, err := consumer.FetchNoWait(int(min(left, lookBatch)))
		if err != nil {
			return err
		}
		got := false
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				return err
			}
			if seen++; meta.Sequence.Consumer != seen {
				return errDisturbed
			}
			if got, left = true, meta.NumPending; see(msg, meta.Sequence.Stream) {
				return nil
			}
		}
		if err := batch.Error(); err != nil && !errors.Is(err, jetstream.ErrNoMessages) {
			return err
		}
		if !got { // what was pending may have been removed for its age
			now, err := consumer.Info(ctx)
			if err != nil {
				return err
			}
			if now.Delivered.Consumer != seen {
				return errDisturbed
			}
			left = now.NumPending
		}
	}
	return nil
}

// beginLook makes a look under the first name that is free.
func beginLook(ctx context.Context, js jetstream.JetStream, from jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	from.AckPolicy, from.MemoryStorage, from.InactiveThreshold, from.HeadersOnly = jetstream.AckNonePolicy, true, lookAge, true
	from.Metadata = map[string]string{"look": rand.Text()} // the server shares a consumer among those that ask for the very same
	for i := 0; ; i++ {
		from.Name = lookName(i % looks)
		consumer, err := js.CreateConsumer(ctx, StreamEvents, from)
		if err == nil || !errors.Is(err, jetstream.ErrConsumerExists) {
			return consumer, err
		}
		if i%looks == looks-1 {
			if wait(ctx, lookPause); ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
}
