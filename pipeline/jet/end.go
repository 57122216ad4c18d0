package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// end is how a dead letter ended a pass: the value of its key in the KV bucket pdf_ends, written before the end is told. Every loop asks for that key: what is
// still queued of such a pass, for however long, can't come to another end.
type end struct {
	Told    bool              `json:"told"`
	Since   time.Time         `json:"since"` // when the message that died was stored
	Subject string            `json:"subject"`
	ID      string            `json:"id"`
	Header  map[string]string `json:"header,omitempty"`
	Body    json.RawMessage   `json:"body"`
}

const endPrefix = "end."

func endKey(j job.Job) string { return endPrefix + j.PassID() }

// endPass tells the end of a pass, unless it has one.
func (b *Broker) endPass(ctx context.Context, j job.Job, since time.Time, out stage.Output) error {
	kv, err := b.js.KeyValue(ctx, KVEnds)
	if err != nil {
		return missing("KV bucket "+KVEnds, err)
	}
	body, err := json.Marshal(out.Body)
	if err != nil {
		return fmt.Errorf("marshal the end of job %s: %w", j.ID, err)
	}
	data, err := json.Marshal(end{Since: since, Subject: out.Subject, ID: out.ID, Header: out.Header, Body: body})
	if err != nil {
		return fmt.Errorf("marshal the end of job %s: %w", j.ID, err)
	}
	if _, err := kv.Create(ctx, endKey(j), data); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		return fmt.Errorf("note the end of job %s: %w", j.ID, err)
	}
	return b.tell(ctx, kv, j)
}

// tell tells the end of a pass that has one, if nobody has yet.
func (b *Broker) tell(ctx context.Context, kv jetstream.KeyValue, j job.Job) error {
	entry, err := kv.Get(ctx, endKey(j))
	if err != nil {
		return fmt.Errorf("read the end of job %s: %w", j.ID, err)
	}
	var e end
	if err := json.Unmarshal(entry.Value(), &e); err != nil {
		return fmt.Errorf("read the end of job %s: %w", j.ID, err)
	}
	if e.Told {
		return nil
	}
	over, err := b.over(ctx, j, e.Since)
	if err != nil {
		return err
	}
	if !over {
		if err := b.Publish(ctx, stage.Output{Subject: e.Subject, ID: e.ID, Header: e.Header, Body: e.Body}); err != nil {
			return err
		}
	}
	e = end{Told: true, Since: e.Since, ID: e.ID, Subject: e.Subject}
	data, err := json.Marshal(e)
	if err == nil {
		_, err = kv.Put(ctx, endKey(j), data)
	}
	if err != nil {
		return fmt.Errorf("note that the end of job %s was told: %w", j.ID, err)
	}
	return nil
}
