package jet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// Tenants reads who is declared as a tenant.
func (b *Broker) Tenants(ctx context.Context) (tenant.Set, error) {
	kv, err := b.js.KeyValue(ctx, KVTenants)
	if err != nil {
		return nil, missing("KV bucket "+KVTenants, err)
	}
	watcher, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", KVTenants, err)
	}
	defer func() { _ = watcher.Stop() }() // the connection's end stops it too
	set := tenant.Set{}
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("read %s: %w", KVTenants, ctx.Err())
		case entry, open := <-watcher.Updates():
			switch {
			case !open:
				return nil, fmt.Errorf("read %s: the server ended it", KVTenants)
			case entry == nil: // all that was there has been seen
				slices.SortFunc(set, func(a, b tenant.Tenant) int { return strings.Compare(a.Name, b.Name) })
				return set, nil
			}
			t, err := declared(entry)
			if err != nil {
				return nil, err
			}
			set = append(set, t)
		}
	}
}

func declared(entry jetstream.KeyValueEntry) (t tenant.Tenant, err error) {
	if err := json.Unmarshal(entry.Value(), &t); err != nil {
		return t, fmt.Errorf("read tenant %s: %w", entry.Key(), err)
	}
	return t, nil
}

// SetTenants makes these the tenants, no others, with a stream for the events of each that has an account.
func (b *Broker) SetTenants(ctx context.Context, set tenant.Set, replicas int) error {
	changes, err := b.diffTenants(ctx, set, replicas)
	if err != nil {
		return err
	}
	return b.executeTenants(ctx, changes)
}

// diffTenants is what has to change for these to be the tenants.
func (b *Broker) diffTenants(ctx context.Context, want tenant.Set, replicas int) ([]Change, error) {
	have, err := b.Tenants(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, err
	}
	var changes []Change
	for _, t := range want {
		change := Change{Kind: "tenant", Name: t.Name, tenant: t}
		i := slices.IndexFunc(have, func(h tenant.Tenant) bool { return h.Name == t.Name })
		if change.Create = i < 0; !change.Create {
			if change.Fields, err = differences(have[i], t, false); err != nil {
				return nil, err
			}
		}
		if change.Create || len(change.Fields) > 0 {
			changes = append(changes, change)
		}
		if !t.Account {
			continue
		}
		events, differs, err := b.diffEventsOf(ctx, t.Name, replicas)
		if err != nil {
			return nil, err
		}
		if differs {
			changes = append(changes, events)
		}
	}
	for _, h := range have {
		if !slices.ContainsFunc(want, func(t tenant.Tenant) bool { return t.Name == h.Name }) {
			changes = append(changes, Change{Kind: "tenant", Name: h.Name, Remove: true})
		}
	}
	return changes, nil
}

func (b *Broker) executeTenants(ctx context.Context, changes []Change) error {
	kv, err := b.js.KeyValue(ctx, KVTenants)
	if err != nil {
		return missing("KV bucket "+KVTenants, err)
	}
	for _, c := range changes {
		if c.Kind != "tenant" && !c.ofTenant() {
			continue
		}
		if c.ofTenant() {
			var js jetstream.JetStream
			if js, err = b.within(c.Of); err == nil {
				_, err = js.CreateOrUpdateStream(ctx, c.stream)
			}
		} else if c.Remove {
			if err = kv.Delete(ctx, c.Name); err == nil {
				err = b.release(ctx, c.Name)
			}
		} else if data, failed := json.Marshal(c.tenant); failed != nil {
			err = failed
		} else {
			_, err = kv.Put(ctx, c.Name, data)
		}
		if err != nil {
			return fmt.Errorf("tenant %s: %w", cmp.Or(c.Of, c.Name), err)
		}
	}
	return nil
}

// release puts what waits in the lane of somebody who is a tenant no more where drops of no tenant wait.
func (b *Broker) release(ctx context.Context, name string) error {
	stream, err := b.js.Stream(ctx, StreamJobs)
	if err != nil {
		return missing("stream "+StreamJobs, err)
	}
	for {
		raw, err := stream.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(event.SubjectDroppedOf(name)))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read its drops: %w", err)
		}
		m := nats.NewMsg(event.SubjectDropped)
		m.Data = raw.Data
		m.Header.Set(jetstream.MsgIDHeader, messageID(raw.Header, raw.Sequence)+":released")
		keepSchema(m.Header, raw.Header)
		if _, err := b.js.PublishMsg(ctx, m); err != nil {
			return fmt.Errorf("release its drops: %w", err)
		}
		if err := stream.DeleteMsg(ctx, raw.Sequence); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return fmt.Errorf("release its drops: %w", err)
		}
	}
}

// TenantReport is how a tenant stands on a day.
type TenantReport struct {
	tenant.Tenant
	Day  string       `json:"day"` // of UTC
	Used tenant.Usage `json:"used"`
	// Over is the quota that is used up, nil while none is.
	Over *tenant.Exceeded `json:"over,omitempty"`
	// Waiting counts the drops that ingest has not taken yet.
	Waiting uint64 `json:"waiting"`
}

// TenantReports says how each tenant stands.
func (b *Broker) TenantReports(ctx context.Context, now time.Time) ([]TenantReport, error) {
	set, err := b.Tenants(ctx)
	if err != nil || len(set) == 0 {
		return []TenantReport{}, err
	}
	stream, err := b.js.Stream(ctx, StreamJobs)
	if err != nil {
		return nil, missing("stream "+StreamJobs, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(event.SubjectDropped+".*"))
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", StreamJobs, err)
	}
	kv, err := b.js.KeyValue(ctx, KVUsage)
	if err != nil {
		return nil, missing("KV bucket "+KVUsage, err)
	}
	all := make([]TenantReport, 0, len(set))
	for _, t := range set {
		r := TenantReport{Tenant: t, Day: tenant.Day(now), Waiting: info.State.Subjects[event.SubjectDroppedOf(t.Name)]}
		if r.Used, _, err = usageOf(ctx, kv, t.Name, r.Day); err != nil {
			return nil, err
		}
		r.Over = t.Over(r.Used, now)
		all = append(all, r)
	}
	return all, nil
}
