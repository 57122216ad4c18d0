package deadletter

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Publish stores a record once, however often it is called, and returns its place in the stream. What is larger than the server takes in one message is cut.
func Publish(ctx context.Context, js jetstream.JetStream, r Record) (seq uint64, err error) {
	data, err := r.fit(int(js.Conn().MaxPayload()) - headerRoom)
	if err != nil {
		return 0, fmt.Errorf("marshal dead letter %s: %w", r.ID, err)
	}
	m := nats.NewMsg(r.PublishSubject())
	m.Data = data
	m.Header.Set(jetstream.MsgIDHeader, r.ID)
	ack, err := js.PublishMsg(ctx, m)
	if err != nil {
		return 0, fmt.Errorf("publish dead letter %s: %w", r.ID, err)
	}
	return ack.Sequence, nil
}
