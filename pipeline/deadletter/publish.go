package deadletter

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// maxDetail bounds, in bytes, the evidence kept in a record, so that record and payload fit a message.
const maxDetail = 64 << 10

// Publish stores a record once, however often it is called, and returns its place in the stream.
func Publish(ctx context.Context, js jetstream.JetStream, r Record) (seq uint64, err error) {
	if len(r.Detail) > maxDetail {
		r.Detail = "…" + r.Detail[len(r.Detail)-maxDetail:]
	}
	data, err := json.Marshal(r)
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
