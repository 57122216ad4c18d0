package jet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/job"
)

// remembered is how old a message may be for the broker's own memory of ids to keep its job from ending twice.
var remembered = DedupeWindow / 2

// over reports whether the end of a pass is told, of which a message was stored at stored. While the broker remembers ids it need not be known: whatever is
// published again counts once. But when everything was off for a night, just after an end was told and before its message was acknowledged, a
// second attempt could come to another end.
func (b *Broker) over(ctx context.Context, work job.Job, stored time.Time) (bool, error) {
	if time.Since(stored) < remembered || work.Drop == "" {
		return false, nil
	}
	id := event.TerminalID(work)
	consumer, err := b.js.OrderedConsumer(ctx, StreamEvents, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &stored, HeadersOnly: true, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return false, missing("stream "+StreamEvents, err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return false, fmt.Errorf("look for event %s: %w", id, err)
	}
	for left := info.NumPending; left > 0; {
		msg, err := consumer.Next(jetstream.FetchContext(ctx))
		if errors.Is(err, jetstream.ErrNoMessages) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("look for event %s: %w", id, err)
		}
		if msg.Headers().Get("ce-id") == id {
			return true, nil
		}
		meta, err := msg.Metadata()
		if err != nil {
			return false, fmt.Errorf("look for event %s: %w", id, err)
		}
		left = meta.NumPending
	}
	return false, nil
}
