package jet

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// Tenancy knows, while it runs, who the tenants are and what each has used, as it changes. It is safe for concurrent use.
type Tenancy struct {
	broker *Broker
	log    *slog.Logger

	mu      sync.Mutex
	set     tenant.Set
	used    map[string]tally // the latest day of each tenant
	changed chan struct{}    // closed at the next change
	known   chan struct{}    // closed once the tenants are
}

// NewTenancy knows nobody yet.
func NewTenancy(b *Broker, log *slog.Logger) *Tenancy {
	return &Tenancy{broker: b, log: log, used: map[string]tally{}, changed: make(chan struct{}), known: make(chan struct{})}
}

// Run follows until ctx ends.
func (t *Tenancy) Run(ctx context.Context) {
	known := sync.OnceFunc(func() { close(t.known) })
	var group sync.WaitGroup
	group.Go(func() { t.follow(ctx, KVTenants, ">", t.declarations(known)) })
	group.Go(func() { t.follow(ctx, KVUsage, dayKey+">", t.count) })
	group.Wait()
}

// Known is closed once the tenants are known.
func (t *Tenancy) Known() <-chan struct{} { return t.known }

// follow calls see for each entry, nil once all that were there have been seen, and begins again when that breaks.
func (t *Tenancy) follow(ctx context.Context, bucket, keys string, see func(jetstream.KeyValueEntry)) {
	for ctx.Err() == nil {
		err := t.watch(ctx, bucket, keys, see)
		if ctx.Err() == nil {
			t.log.Warn("lost sight of tenants, looking again", "bucket", bucket, "err", err)
			wait(ctx, time.Second)
		}
	}
}

func (t *Tenancy) watch(ctx context.Context, bucket, keys string, see func(jetstream.KeyValueEntry)) error {
	kv, err := t.broker.js.KeyValue(ctx, bucket)
	if err != nil {
		return missing("KV bucket "+bucket, err)
	}
	return followKeys(ctx, kv, keys, see)
}

// declarations sees those of tenants. What it saw before counts until all are seen anew.
func (t *Tenancy) declarations(known func()) func(jetstream.KeyValueEntry) {
	latest := map[string]tenant.Tenant{}
	whole := false
	return func(entry jetstream.KeyValueEntry) {
		switch {
		case entry == nil:
			whole = true
			defer known()
		case entry.Operation() != jetstream.KeyValuePut:
			delete(latest, entry.Key())
		default:
			d, err := declared(entry)
			if err != nil {
				t.log.Error("a tenant is not understood", "err", err) // its documents are nobody's until it is
				return
			}
			latest[entry.Key()] = d
		}
		if !whole {
			return
		}
		set := make(tenant.Set, 0, len(latest))
		for _, d := range latest {
			set = append(set, d)
		}
		slices.SortFunc(set, func(a, b tenant.Tenant) int { return strings.Compare(a.Name, b.Name) })
		t.mu.Lock()
		defer t.mu.Unlock()
		t.set = set
		t.tell()
	}
}

// count sees sums.
func (t *Tenancy) count(entry jetstream.KeyValueEntry) {
	var sum tally
	if entry == nil || entry.Operation() != jetstream.KeyValuePut || json.Unmarshal(entry.Value(), &sum) != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if sum.Day >= t.used[sum.Tenant].Day {
		t.used[sum.Tenant] = sum
		t.tell()
	}
}

// tell wakes up who waits for a change; t.mu is held.
func (t *Tenancy) tell() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// Of is the tenant that owns an object.
func (t *Tenancy) Of(s document.Source) (tenant.Tenant, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.set.Of(s)
}

// All are the tenants, and a channel that is closed when anything has changed about them or what they have used.
func (t *Tenancy) All() (tenant.Set, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.set, t.changed
}

// Used is what a tenant has used on the day of now.
func (t *Tenancy) Used(name string, now time.Time) tenant.Usage {
	t.mu.Lock()
	defer t.mu.Unlock()
	if sum := t.used[name]; sum.Day == tenant.Day(now) {
		return sum.Usage
	}
	return tenant.Usage{}
}

// Over is the quota of a tenant that is used up, nil while none is, or there is no such tenant.
func (t *Tenancy) Over(name string, now time.Time) *tenant.Exceeded {
	set, _ := t.All()
	i := slices.IndexFunc(set, func(d tenant.Tenant) bool { return d.Name == name })
	if i < 0 {
		return nil
	}
	return set[i].Over(t.Used(name, now), now)
}
