package jet

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// Courier brings the events of tenants into their accounts, under the same ids: it follows the stream of all events with a consumer that every process of its
// kind shares, so that an event is brought once, or again when whoever brought it died before saying so. A tenant's stream knows ids too.
type Courier struct {
	broker  *Broker
	tenancy *Tenancy
	log     *slog.Logger
}

// NewCourier does not start yet.
func NewCourier(b *Broker, log *slog.Logger) *Courier {
	return &Courier{broker: b, tenancy: NewTenancy(b, log), log: log}
}

// Name implements lifecycle.Service.
func (c *Courier) Name() string { return "tenants' events" }

// Ready implements lifecycle.Service.
func (c *Courier) Ready() error { return c.broker.Healthy() }

const (
	// courierAhead bounds the events that can't be brought yet, over all tenants, before others wait for them.
	courierAhead = 100_000
	// courierPause is the pause before an event is tried again: its tenant's account is not there, or can't store.
	courierPause = 5 * time.Second
)

// couriers is the consumer that they share.
func couriers() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{Durable: "tenants", AckPolicy: jetstream.AckExplicitPolicy, AckWait: AckWait, MaxDeliver: -1, MaxAckPending: courierAhead}
}

// Run implements lifecycle.Service.
func (c *Courier) Run(ctx context.Context) error {
	known, end := context.WithCancel(ctx)
	defer end()
	done := make(chan struct{})
	defer func() { end(); <-done }()
	go func() {
		defer close(done)
		c.tenancy.Run(known)
	}()
	select {
	case <-ctx.Done():
		return nil
	case <-c.tenancy.Known():
	}
	consumer, err := c.broker.consumer(ctx, StreamEvents, couriers())
	if err != nil {
		return stopped(ctx, err)
	}
	c.broker.pull(ctx, consumer, c.log, func(context.Context) {}, func(msg jetstream.Msg) {
		name, err := c.bring(ctx, msg)
		if err != nil {
			c.log.Warn("an event is not in its tenant's account yet", "tenant", name, "err", err)
			_ = msg.NakWithDelay(courierPause) // else it comes back after its ack wait
			return
		}
		_ = msg.Ack() // else it comes again, with its id
	}, func(msg jetstream.Msg) { _ = msg.Nak() })
	return nil
}

// bring stores an event in the account of the tenant that it is of, if any.
func (c *Courier) bring(ctx context.Context, msg jetstream.Msg) (string, error) {
	name := c.owner(msg.Data())
	if name == "" {
		return "", nil
	}
	out := nats.NewMsg(tenantSpace + name + ".event." + kindOf(msg.Subject()))
	out.Header, out.Data = msg.Headers(), msg.Data()
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	if _, err := c.broker.js.PublishMsg(ctx, out); err != nil {
		if errors.Is(err, jetstream.ErrNoStreamResponse) {
			err = nats.ErrNoResponders
		}
		return name, noAccount(name, err)
	}
	return name, nil
}

// owner is the tenant that an event is of: whose the job was, or, when it ended before there was one, whose the object is. "" when that is nobody, or nobody with an account.
func (c *Courier) owner(data []byte) string {
	var about struct {
		Tenant string          `json:"tenant"`
		Source document.Source `json:"source"`
	}
	if json.Unmarshal(data, &about) != nil {
		return ""
	}
	all, _ := c.tenancy.All()
	set := all.WithAccounts()
	if about.Tenant == "" {
		owner, _ := set.Of(about.Source)
		return owner.Name
	}
	if !slices.ContainsFunc(set, func(t tenant.Tenant) bool { return t.Name == about.Tenant }) {
		return ""
	}
	return about.Tenant
}
