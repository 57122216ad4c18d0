package jet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// Topology is a declaration for one installation: the table of this package, and what differs between servers.
type Topology struct {
	Replicas int `json:"replicas"` // of each stream, 1 to 5; odd numbers make sense
	// MaxQueued bounds the messages that wait on one subject of the work queue, 0: the default of the same name. Publishers wait for room, from the GPUs back to
	// ingest. A bound of the whole queue would be a trap: each stage frees room only after it has found some.
	MaxQueued int64 `json:"max_queued,omitempty"`
	// EventsMaxBytes bounds what subscribers can catch up on, 0: EventsMaxBytes of this package.
	EventsMaxBytes int64 `json:"events_max_bytes,omitempty"`
	// StatusMaxAge is how long the status of a job is kept after its last change, 0: StatusMaxAge of this package. Servers hold every key in memory.
	StatusMaxAge time.Duration `json:"status_max_age,omitempty"`
	// Engines whose consumers are declared; without any no consumer is, and services make their own.
	Engines []string `json:"engines,omitempty"`
	// Tenants of this installation; nil: leave those that are declared alone.
	Tenants tenant.Set `json:"tenants,omitempty"`
	// Domain of JetStream, as it shows in the subjects of its API; "" for none.
	Domain string `json:"domain,omitempty"`
}

// Declaration is everything that a topology wants, as JetStream takes it. KV buckets are streams.
type Declaration struct {
	Streams   []jetstream.StreamConfig              `json:"streams"` // in the order in which they are made
	Consumers map[string][]jetstream.ConsumerConfig `json:"consumers,omitempty"`
}

// Declare spells a topology out.
func (t Topology) Declare() Declaration {
	d := Declaration{Consumers: map[string][]jetstream.ConsumerConfig{}}
	for _, kv := range KeyValues(t.Replicas) {
		if kv.Bucket == KVJobs && t.StatusMaxAge > 0 {
			kv.TTL = t.StatusMaxAge
		}
		d.Streams = append(d.Streams, keyValueStream(kv))
	}
	all := Streams(t.Replicas)
	for _, s := range append(all[1:], all[0]) { // StreamJobs says that the rest is there
		if s.Name == StreamJobs && t.MaxQueued > 0 {
			s.MaxMsgsPerSubject = t.MaxQueued
		}
		if s.Name == StreamEvents && t.EventsMaxBytes > 0 {
			s.MaxBytes = t.EventsMaxBytes
		}
		d.Streams = append(d.Streams, s)
	}
	if len(t.Engines) > 0 {
		for _, subject := range t.workSubjects() {
			d.Consumers[StreamJobs] = append(d.Consumers[StreamJobs], Consumer(subject))
		}
		d.Consumers[StreamAdvisories] = []jetstream.ConsumerConfig{crashLoops()}
		d.Consumers[StreamEvents] = []jetstream.ConsumerConfig{couriers()}
	}
	return d
}

// Change is one step from what a server has to what is declared.
type Change struct {
	Kind string `json:"kind"` // stream, consumer or tenant
	Name string `json:"name"`
	// Of is the stream of a consumer, or the tenant in whose account a stream is; "" for pdfmill's own streams.
	Of     string  `json:"of,omitempty"`
	Create bool    `json:"create,omitempty"`
	Remove bool    `json:"remove,omitempty"`
	Fields []Field `json:"fields,omitempty"` // that differ, when it is there already
	// Loses says why the change would lose data or can't be made in place; then Execute refuses it.
	Loses []string `json:"loses,omitempty"`

	stream   jetstream.StreamConfig
	consumer jetstream.ConsumerConfig
	tenant   tenant.Tenant
}

// ofTenant says whether the change is of a stream in a tenant's account.
func (c Change) ofTenant() bool { return c.Kind == "stream" && c.Of != "" }

// Field is a setting that differs; values are JSON, "" when it is not set.
type Field struct {
	Name string `json:"name"`
	From string `json:"from"`
	To   string `json:"to"`
}

// Plan is what has to change, in order.
type Plan struct {
	Changes []Change `json:"changes"`
	// Newer says that a later version of pdfmill made what is there: leave it alone.
	Newer bool `json:"newer,omitempty"`
}

// ErrLoses says that a plan was refused because it would lose data.
var ErrLoses = errors.New("this would lose data")

// Diff compares a server with the declaration, as soon as JetStream can say. It changes nothing.
func (b *Broker) Diff(ctx context.Context, t Topology) (p Plan, err error) {
	err = patiently(ctx, b.log, "the topology as it is", func(ctx context.Context) error {
		p, err = diff(ctx, b.js, t.Declare())
		if err != nil || t.Tenants == nil {
			return err
		}
		tenants, err := b.diffTenants(ctx, t.Tenants, t.Replicas)
		p.Changes = append(p.Changes, tenants...)
		return err
	})
	return p, err
}

// Execute makes the changes of a plan, waiting as long as JetStream can't. With force also those that lose data, as far as JetStream lets it.
func (b *Broker) Execute(ctx context.Context, p Plan, force bool) error {
	err := patiently(ctx, b.log, "the topology", func(ctx context.Context) error { return execute(ctx, b.js, p, force) })
	if err != nil {
		return err
	}
	return b.executeTenants(ctx, p.Changes)
}

func diff(ctx context.Context, js jetstream.JetStream, want Declaration) (p Plan, err error) {
	for _, s := range want.Streams {
		have, err := js.Stream(ctx, s.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			p.Changes = append(p.Changes, Change{Kind: "stream", Name: s.Name, Create: true, stream: s})
			continue
		}
		if err != nil {
			return p, fmt.Errorf("look at stream %s: %w", s.Name, err)
		}
		is := have.CachedInfo()
		p.Newer = p.Newer || s.Name == StreamJobs && versionOf(is.Config) > TopologyVersion
		fields, err := differences(is.Config, s, false)
		if err != nil || len(fields) == 0 {
			if err != nil {
				return p, err
			}
			continue
		}
		loses, err := losses(ctx, have, s)
		if err != nil {
			return p, fmt.Errorf("look into stream %s: %w", s.Name, err)
		}
		p.Changes = append(p.Changes, Change{Kind: "stream", Name: s.Name, Fields: fields, Loses: loses, stream: s})
	}
	for stream, consumers := range want.Consumers {
		for _, c := range consumers {
			change, err := diffConsumer(ctx, js, stream, c)
			if err != nil {
				return p, err
			}
			if change.Create || len(change.Fields) > 0 {
				p.Changes = append(p.Changes, change)
			}
		}
	}
	return p, nil
}

func diffConsumer(ctx context.Context, js jetstream.JetStream, stream string, want jetstream.ConsumerConfig) (Change, error) {
	change := Change{Kind: "consumer", Name: want.Durable, Of: stream, consumer: want}
	have, err := js.Consumer(ctx, stream, want.Durable)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		change.Create = true
		return change, nil
	case err != nil:
		return change, fmt.Errorf("look at consumer %s: %w", want.Durable, err)
	}
	change.Fields, err = differences(have.CachedInfo().Config, want, true)
	return change, err
}

func execute(ctx context.Context, js jetstream.JetStream, p Plan, force bool) error {
	if !force {
		var refused []error
		for _, c := range p.Changes {
			for _, why := range c.Loses {
				refused = append(refused, fmt.Errorf("%w: %s %s: %s", ErrLoses, c.Kind, c.Name, why))
			}
		}
		if len(refused) > 0 {
			return errors.Join(refused...)
		}
	}
	for _, c := range p.Changes {
		var err error
		switch {
		case c.ofTenant(): // comes with the tenants
		case c.Kind == "stream":
			_, err = js.CreateOrUpdateStream(ctx, c.stream)
		case c.Kind == "consumer":
			_, err = js.CreateOrUpdateConsumer(ctx, c.Of, c.consumer)
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", c.Kind, c.Name, err)
		}
	}
	return nil
}

// apply is Broker.Apply once.
func apply(ctx context.Context, js jetstream.JetStream, replicas int) error {
	want := Topology{Replicas: replicas}.Declare()
	for i, s := range want.Streams {
		if have, err := js.Stream(ctx, s.Name); err == nil {
			is := have.CachedInfo().Config
			want.Streams[i].Replicas = max(is.Replicas, replicas)
			switch s.Name { // whoever set a bound meant it
			case StreamJobs:
				want.Streams[i].MaxMsgsPerSubject = is.MaxMsgsPerSubject
			case StreamEvents:
				want.Streams[i].MaxBytes = is.MaxBytes
			case "KV_" + KVJobs:
				want.Streams[i].MaxAge = is.MaxAge
			}
		}
	}
	plan, err := diff(ctx, js, want)
	if err != nil || plan.Newer {
		return err
	}
	if err := execute(ctx, js, plan, false); err != nil {
		return fmt.Errorf("topology: %w", err)
	}
	return nil
}
