package jet

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/event"
)

// A tenant may have an account of its own on the NATS servers, in which there is nothing but a stream of its events: whoever may create consumers on a stream can name
// any subject to deliver to, so that in one account with others nobody would be safe. The account exports two services to pdfmill's account alone, which imports
// them below tenantSpace: the requests by which the stream is made, and the subjects of the events. It imports nothing.
const tenantSpace = "pdfmill.tenant."

// TenantAccount is the name of a tenant's account.
func TenantAccount(name string) string { return "pdfmill-" + name }

// Passage is a service that a tenant's account exports to pdfmill's, and where pdfmill's account has it.
type Passage struct{ Subject, Local string }

// Passages of a tenant.
func Passages(name string) []Passage {
	var all []Passage
	for _, verb := range []string{"INFO", "CREATE", "UPDATE"} {
		request := "API.STREAM." + verb + "." + StreamEvents
		all = append(all, Passage{"$JS." + request, tenantSpace + name + "." + request})
	}
	for _, kind := range kinds() {
		all = append(all, Passage{TenantEvents(name) + kind, tenantSpace + name + ".event." + kind})
	}
	return all
}

// TenantEvents begins the subjects of a tenant's events.
func TenantEvents(name string) string { return "pdf." + name + "." }

// kinds are the last tokens of events' subjects.
func kinds() []string { return []string{"converted", "failed"} }

// TenantRights are what a tenant's user may do in its account: follow its events, with consumers as it likes.
func TenantRights(name string) Rights {
	g := &grants{api: "$JS.API."}
	g.subscribe("_INBOX.>", TenantEvents(name)+">")
	g.ask("INFO", "STREAM.NAMES", "STREAM.LIST", "CONSUMER.NAMES."+StreamEvents, "CONSUMER.LIST."+StreamEvents, "CONSUMER.DURABLE.CREATE."+StreamEvents+".>", "CONSUMER.CREATE."+StreamEvents)
	g.follow(StreamEvents)
	g.push(StreamEvents)
	g.look(StreamEvents)
	g.publish("$JS.ACK." + StreamEvents + ".>")
	return g.rights()
}

// tenantEventsBytes bounds what a tenant can catch up on.
const tenantEventsBytes = 1 << 30

// eventsOf is the stream of events in a tenant's account.
func eventsOf(name string, replicas int) jetstream.StreamConfig {
	s := jetstream.StreamConfig{
		Name: StreamEvents, Description: "what became of every document of " + name,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage, Replicas: replicas,
		Duplicates: DedupeWindow, MaxAge: EventsMaxAge, MaxBytes: tenantEventsBytes,
	}
	for _, kind := range kinds() {
		s.Subjects = append(s.Subjects, TenantEvents(name)+kind)
	}
	return s
}

// diffEventsOf says whether the stream of a tenant's events has to be made or changed.
func (b *Broker) diffEventsOf(ctx context.Context, name string, replicas int) (Change, bool, error) {
	c := Change{Kind: "stream", Name: StreamEvents, Of: name, stream: eventsOf(name, replicas)}
	js, err := b.within(name)
	if err != nil {
		return c, false, err
	}
	have, err := js.Stream(ctx, StreamEvents)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		c.Create = true
		return c, true, nil
	case err != nil:
		return c, false, noAccount(name, err)
	}
	is := have.CachedInfo().Config
	c.stream.Replicas = max(is.Replicas, replicas)
	c.Fields, err = differences(is, c.stream, false)
	return c, len(c.Fields) > 0, err
}

// within is JetStream's API of a tenant's account, as far as it is passed on.
func (b *Broker) within(name string) (jetstream.JetStream, error) {
	js, err := jetstream.NewWithAPIPrefix(b.conn, tenantSpace+name+".API")
	if err != nil {
		return nil, fmt.Errorf("account of tenant %s: %w", name, err)
	}
	return js, nil
}

// noAccount explains that nobody answers in a tenant's account.
func noAccount(name string, err error) error {
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) {
		return fmt.Errorf("account %s of tenant %s does not answer (have the NATS servers include what pdfmill topology users --tenants writes): %w", TenantAccount(name), name, err)
	}
	return fmt.Errorf("account of tenant %s: %w", name, err)
}

// kindOf is the last token of an event's subject.
func kindOf(subject string) string {
	if subject == event.SubjectConverted {
		return kinds()[0]
	}
	return kinds()[1]
}
