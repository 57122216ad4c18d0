package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// Keys of the KV bucket pdf_usage: the sum of a tenant's day, and one key for each thing that is in a sum.
const (
	dayKey     = "day."
	countedKey = "counted."
)

func keyOfDay(name, day string) string { return dayKey + name + "." + day }

// tally is the value of a day's key.
type tally struct {
	Tenant string `json:"tenant"`
	Day    string `json:"day"`
	tenant.Usage
}

// codeWrongLastConstant is what the server answers when somebody is just writing the same key (nats-server 2.15).
const codeWrongLastConstant jetstream.ErrorCode = 10164

// Meter counts what tenants use. It is safe for concurrent use.
type Meter struct {
	broker *Broker

	mu sync.Mutex
	kv jetstream.KeyValue
}

// NewMeter does not connect yet.
func NewMeter(b *Broker) *Meter { return &Meter{broker: b} }

func (m *Meter) open(ctx context.Context) (jetstream.KeyValue, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kv == nil {
		kv, err := m.broker.js.KeyValue(ctx, KVUsage)
		if err != nil {
			return nil, missing("KV bucket "+KVUsage, err)
		}
		m.kv = kv
	}
	return m.kv, nil
}

// Count adds what a thing costs to a tenant's day, once: a thing that was counted, on whichever day, changes nothing. The thing's key and the sum are written
// together, each on condition that nobody else has: whoever dies in between, or comes at the same time, neither loses nor doubles anything.
//
// With within, a thing is only counted while no quota is used up; the one that is comes back then. It is nil for a thing that was counted before.
func (m *Meter) Count(ctx context.Context, t tenant.Tenant, thing string, cost tenant.Usage, now time.Time, within bool) (*tenant.Exceeded, error) {
	kv, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	day, counted := tenant.Day(now), countedKey+document.Digest("counted", t.Name, thing)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		used, revision, err := usageOf(ctx, kv, t.Name, day)
		if err != nil {
			return nil, err
		}
		over := t.Over(used, now)
		if !within || over == nil {
			sum := tally{Tenant: t.Name, Day: day, Usage: used.Plus(cost)}
			err := m.broker.writeTogether(ctx, KVUsage, write{counted, tally{t.Name, day, cost}, 0}, write{keyOfDay(t.Name, day), sum, revision})
			if err == nil {
				return nil, nil //nolint:nilnil // as the comment says
			}
			if !raced(err) {
				return nil, fmt.Errorf("count for tenant %s: %w", t.Name, err)
			}
		}
		_, err = kv.Get(ctx, counted)
		switch {
		case err == nil:
			return nil, nil //nolint:nilnil // as the comment says
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			return nil, fmt.Errorf("count for tenant %s: %w", t.Name, err)
		case within && over != nil:
			return over, nil
		}
		if wait(ctx, pause); ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// usageOf reads the sum of a tenant's day; the revision is 0 when there is none.
func usageOf(ctx context.Context, kv jetstream.KeyValue, name, day string) (tenant.Usage, uint64, error) {
	entry, err := kv.Get(ctx, keyOfDay(name, day))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return tenant.Usage{}, 0, nil
	}
	var sum tally
	if err == nil {
		err = json.Unmarshal(entry.Value(), &sum)
	}
	if err != nil {
		return tenant.Usage{}, 0, fmt.Errorf("read what tenant %s has used: %w", name, err)
	}
	return sum.Usage, entry.Revision(), nil
}

// write is a value for a key of a bucket, on condition that the key's last revision is after; 0: that there is none.
type write struct {
	key   string
	value any
	after uint64
}

// writeTogether writes all or none.
func (b *Broker) writeTogether(ctx context.Context, bucket string, all ...write) error {
	prefix := "$KV." + bucket + "."
	if domain := b.js.Options().Domain; domain != "" {
		prefix = "$JS." + domain + ".API." + prefix // as the client's own KV does
	}
	messages := make([]*nats.Msg, len(all))
	for i, w := range all {
		data, err := json.Marshal(w.value)
		if err != nil {
			return fmt.Errorf("marshal %s: %w", w.key, err)
		}
		messages[i] = nats.NewMsg(prefix + w.key)
		messages[i].Data = data
		messages[i].Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(w.after, 10))
	}
	_, err := jetstreamext.PublishMsgBatch(ctx, b.js, messages)
	return err
}

// raced reports whether a write's condition was not met, or can't be told because somebody is writing.
func raced(err error) bool {
	api := (*jetstream.APIError)(nil)
	return lostRace(err) || (errors.As(err, &api) && api.ErrorCode == codeWrongLastConstant)
}
