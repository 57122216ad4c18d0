package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// maxBatch is how many messages one atomic batch may hold (nats-server 2.15: error 10199 beyond).
const maxBatch = 1000

// codeDuplicateInBatch is what the server answers when a batch holds a message id it has already (nats-server 2.15).
const codeDuplicateInBatch jetstream.ErrorCode = 10201

// codeNotStored is what it answers when a subject is full, among others.
const codeNotStored jetstream.ErrorCode = 10077

// Publish stores outputs and returns when all are acknowledged by the server. Several for the work queue go as one atomic batch. Publishing
// the same outputs again is harmless: ids make each of them count once.
func (b *Broker) Publish(ctx context.Context, outputs ...stage.Output) error {
	var work, rest []*nats.Msg
	for _, o := range outputs {
		m, err := message(o)
		if err != nil {
			return err
		}
		if StageOf(o.Subject) == "" { // not for the work queue: a batch is of one stream
			rest = append(rest, m)
		} else {
			work = append(work, m)
		}
	}
	if err := b.publishWork(ctx, work); err != nil {
		return err
	}
	return b.publishEach(ctx, rest)
}

func (b *Broker) publishWork(ctx context.Context, work []*nats.Msg) error {
	if len(work) < 2 || len(work) > maxBatch {
		return b.publishEach(ctx, work)
	}
	_, err := jetstreamext.PublishMsgBatch(ctx, b.js, work)
	if api := (*jetstream.APIError)(nil); errors.As(err, &api) && (api.ErrorCode == codeDuplicateInBatch || api.ErrorCode == codeNotStored) {
		// A former attempt got some of them stored, or all; or there is not room for all of them at once, and may never be. Ids let the rest follow one by one.
		return b.publishEach(ctx, work)
	}
	if err != nil {
		return fmt.Errorf("publish a batch of %d to %s: %w", len(work), work[0].Subject, err)
	}
	return nil
}

func (b *Broker) publishEach(ctx context.Context, messages []*nats.Msg) error {
	for _, m := range messages {
		if _, err := b.js.PublishMsg(ctx, cleanCopy(m)); err != nil {
			return fmt.Errorf("publish %s %s: %w", m.Subject, m.Header.Get(jetstream.MsgIDHeader), err)
		}
	}
	return nil
}

// cleanCopy is m without the headers that a refused batch left on it.
func cleanCopy(m *nats.Msg) *nats.Msg {
	out := nats.NewMsg(m.Subject)
	out.Data = m.Data
	for key, values := range m.Header {
		switch key {
		case "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit":
		default:
			out.Header[key] = values
		}
	}
	return out
}

func message(o stage.Output) (*nats.Msg, error) {
	data, err := json.Marshal(o.Body)
	if err != nil {
		return nil, fmt.Errorf("marshal %s %s: %w", o.Subject, o.ID, err)
	}
	m := nats.NewMsg(o.Subject)
	m.Data = data
	m.Header.Set(jetstream.MsgIDHeader, o.ID)
	if StageOf(o.Subject) != "" {
		m.Header.Set(schemaHeader, strconv.Itoa(SchemaVersion))
	}
	for key, value := range o.Header {
		m.Header.Set(key, value)
	}
	return m, nil
}
