package rig

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// Event is a message of PDF_EVENTS as a subscriber sees it.
type Event struct {
	Subject string
	ID      string // ce-id
	Type    string // ce-type
	Source  string // ce-subject: bucket/key
	Body    map[string]any
	Raw     []byte
}

// Events collects everything in PDF_EVENTS, from the beginning.
type Events struct {
	t  testing.TB
	mu sync.Mutex
	by map[string][]Event // by ce-subject
	n  int
}

// Subscribe reads the stream with the stock client, and checks each event against the documentation.
func Subscribe(t testing.TB, nc *nats.Conn) *Events {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := js.OrderedConsumer(t.Context(), "PDF_EVENTS", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	e := &Events{t: t, by: map[string][]Event{}}
	running, err := consumer.Consume(func(m jetstream.Msg) {
		one := Event{Subject: m.Subject(), ID: m.Headers().Get("ce-id"), Type: m.Headers().Get("ce-type"), Source: m.Headers().Get("ce-subject"), Raw: m.Data()}
		if err := errors.Join(json.Unmarshal(m.Data(), &one.Body), conforms(m.Subject(), m.Headers(), m.Data())); err != nil {
			t.Errorf("%s: %v\n%s", m.Subject(), err, m.Data())
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.by[one.Source] = append(e.by[one.Source], one)
		e.n++
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running.Stop)
	return e
}

// Of returns the events about one object so far.
func (e *Events) Of(source string) []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.by[source]
}

// All returns every event so far, by object.
func (e *Events) All() map[string][]Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make(map[string][]Event, len(e.by))
	for source, events := range e.by {
		all[source] = events
	}
	return all
}

// Await waits for the nth event (1 is the first) about an object.
func (e *Events) Await(source string, n int) Event {
	e.t.Helper()
	pipelinetest.Eventually(e.t, "an event about "+source, func() bool { return len(e.Of(source)) >= n })
	return e.Of(source)[n-1]
}
