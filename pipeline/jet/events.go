package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// Watch calls see for each event that is published from now on (or, with all, for those kept as well) until ctx ends or see returns an error. It
// survives reconnects without losing or repeating an event. ready is called once nothing published from then on can be missed.
func (b *Broker) Watch(ctx context.Context, all bool, ready func(), see func(Announcement) error) error {
	policy := jetstream.DeliverNewPolicy
	if all {
		policy = jetstream.DeliverAllPolicy
	}
	consumer, err := b.js.OrderedConsumer(ctx, StreamEvents, jetstream.OrderedConsumerConfig{DeliverPolicy: policy})
	if err != nil {
		return missing("stream "+StreamEvents, err)
	}
	ready()
	for ctx.Err() == nil {
		msg, err := consumer.Next(jetstream.FetchMaxWait(fetchWait))
		if errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoMessages) {
			continue
		}
		if err != nil {
			wait(ctx, 100*time.Millisecond)
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
	return nil
}

func announcement(msg jetstream.Msg) (Announcement, error) {
	a := Announcement{ID: msg.Headers().Get("ce-id"), Subject: msg.Subject(), Raw: msg.Data()}
	if meta, err := msg.Metadata(); err == nil {
		a.Sequence, a.Time = meta.Sequence.Stream, meta.Timestamp
	}
	var body any
	switch a.Subject {
	case event.SubjectConverted:
		a.Converted = &event.Converted{}
		body = a.Converted
	default:
		a.Failed = &event.Failed{}
		body = a.Failed
	}
	if err := json.Unmarshal(msg.Data(), body); err != nil {
		return a, fmt.Errorf("decode %s %s: %w", a.Subject, a.ID, err)
	}
	return a, nil
}
