package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/event"
)

// Announcement is one event of PDF_EVENTS: exactly one of Converted and Failed is set.
type Announcement struct {
	ID        string // ce-id
	Subject   string
	Sequence  uint64
	Time      time.Time
	Converted *event.Converted
	Failed    *event.Failed
	Raw       json.RawMessage
}

// watchPause is the pause after an error of the server's.
const watchPause = 100 * time.Millisecond

// Watch calls see for each event that is published from now on (or, with all, for those kept as well) until ctx ends or see returns an error. It
// survives reconnects without losing or repeating an event. ready is called once nothing published from then on can be missed.
func (b *Broker) Watch(ctx context.Context, all bool, ready func(), see func(Announcement) error) error {
	// A place in the stream, not "what is new": that would be found anew after a reconnect, and skip what came meanwhile.
	config := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 1}
	if !all {
		stream, err := b.js.Stream(ctx, StreamEvents)
		if err != nil {
			return missing("stream "+StreamEvents, err)
		}
		config.OptStartSeq = stream.CachedInfo().State.LastSeq + 1
	}
	consumer, err := b.js.OrderedConsumer(ctx, StreamEvents, config)
	if err != nil {
		return missing("stream "+StreamEvents, err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return missing("stream "+StreamEvents, err)
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)() // it does not listen to ctx while the server is away
	ready()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, jetstream.ErrMsgIteratorClosed):
			return fmt.Errorf("watch %s: %w", StreamEvents, err)
		case err != nil:
			wait(ctx, watchPause) // it goes on after the last event that was seen
			continue
		}
		a, err := announcement(msg)
		if err != nil {
			return err
		}
		if err := see(a); err != nil {
			return err
		}
	}
}

func announcement(msg jetstream.Msg) (Announcement, error) {
	a, err := announce(msg.Subject(), msg.Headers(), msg.Data())
	if meta, err := msg.Metadata(); err == nil {
		a.Sequence, a.Time = meta.Sequence.Stream, meta.Timestamp
	}
	return a, err
}

// announce decodes an event.
func announce(subject string, header nats.Header, data []byte) (Announcement, error) {
	a := Announcement{ID: header.Get("ce-id"), Subject: subject, Raw: data}
	var body any
	switch { // in a tenant's account they are named after the tenant
	case strings.HasSuffix(a.Subject, ".converted"):
		a.Converted = &event.Converted{}
		body = a.Converted
	default:
		a.Failed = &event.Failed{}
		body = a.Failed
	}
	if err := json.Unmarshal(data, body); err != nil {
		return a, fmt.Errorf("decode %s %s: %w", a.Subject, a.ID, err)
	}
	return a, nil
}
