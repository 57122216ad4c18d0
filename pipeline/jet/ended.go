package jet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// remembered is how old a message may be for the broker's own memory of ids to keep its job from ending twice.
var remembered = DedupeWindow / 2

// publishOnce publishes what follows a message that was stored at since. A job ends once, for as long as events are kept: when the message is delivered
// again after the broker may have forgotten ids (everything was off for a night), an end that is in PDF_EVENTS already is not published again, and
// so can't be contradicted.
func (b *Broker) publishOnce(ctx context.Context, since time.Time, again bool, outputs []stage.Output) error {
	if !again || time.Since(since) < remembered {
		return b.Publish(ctx, outputs...)
	}
	var rest []stage.Output
	for _, o := range outputs {
		if o.Subject == event.SubjectConverted || o.Subject == event.SubjectFailed {
			ended, err := b.ended(ctx, o.ID, since)
			if err != nil {
				return err
			}
			if ended {
				continue
			}
		}
		rest = append(rest, o)
	}
	return b.Publish(ctx, rest...)
}

// ended reports whether the event with this id was published since.
func (b *Broker) ended(ctx context.Context, id string, since time.Time) (bool, error) {
	consumer, err := b.js.OrderedConsumer(ctx, StreamEvents, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since, HeadersOnly: true,
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
