package jet_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

func cancel(t *testing.T, b *jet.Broker, want int, jobs ...job.Job) {
	t.Helper()
	ended, err := b.Cancel(t.Context(), "tester", func(j job.Job) bool {
		for _, one := range jobs {
			if one.ID == j.ID {
				return true
			}
		}
		return false
	})
	if err != nil || len(ended) != want {
		t.Fatalf("ended %d passes, %v; want %d", len(ended), err, want)
	}
}

// endedAs says how every pass ended, and fails the test when one ended twice.
func endedAs(t *testing.T, b *jet.Broker) map[string]string {
	t.Helper()
	all := map[string]string{}
	for a, err := range b.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if all[a.ID] != "" {
			t.Errorf("%s ended twice", a.ID)
		}
		if all[a.ID] = "converted"; a.Failed != nil {
			all[a.ID] = string(a.Failed.Class)
		}
	}
	return all
}

func TestCancelQueued(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	mine, other := testJob("mine"), testJob("other")
	other.ID = strings.Repeat("c", 32)
	publish(t, b, event.Ingested{Job: mine}.Output(), event.Ingested{Job: other}.Output())
	for i := range 3 { // and three ranges of it that wait for a worker: one end all the same
		publish(t, b, event.Range{Job: mine, Engine: "text", Lane: job.LaneBulk, Range: pages.Range{First: i + 1, Last: i + 1}, Total: 3, Mode: event.ModeDefault}.Output())
	}
	cancel(t, b, 1, mine)
	cancel(t, b, 1, mine) // again: nothing is told twice
	if all := endedAs(t, b); all[event.TerminalID(mine)] != "cancelled" || len(all) != 1 || messages(t, b, jet.StreamDead) != 1 {
		t.Fatalf("ends %v, %d dead letters", all, messages(t, b, jet.StreamDead))
	}
	worked := make(chan string, 10)
	start(t, b, func(_ context.Context, d stage.Delivery[event.Ingested]) ([]stage.Output, error) {
		worked <- d.Body.Source.Key
		return []stage.Output{converted(d.Body.Job)}, nil
	}, 0)
	pipelinetest.Eventually(t, "both are out of the validator's queue", func() bool { return messages(t, b, jet.StreamJobs) == 3 })
	if all := endedAs(t, b); all[event.TerminalID(other)] != "converted" || len(all) != 2 || len(worked) != 1 {
		t.Fatalf("ends %v, %d worked on", all, len(worked))
	}
	status, err := b.ReadStatus(t.Context(), mine.ID)
	if err != nil || status.State != jet.StateFailed || status.Class != failure.Cancelled {
		t.Fatalf("status %+v, %v", status, err)
	}
}

// TestCancelRunning: the work in hand ends at once, and so does the job.
func TestCancelRunning(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	j := testJob("a")
	working := make(chan struct{}, 1)
	start(t, b, func(ctx context.Context, _ stage.Delivery[event.Ingested]) ([]stage.Output, error) {
		working <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}, time.Hour)
	publish(t, b, event.Ingested{Job: j}.Output())
	pipelinetest.Receive(t, "the handler has the message", working)
	cancel(t, b, 1, j)
	empty(t, b)
	if all := endedAs(t, b); all[event.TerminalID(j)] != "cancelled" || len(all) != 1 {
		t.Fatalf("ends %v", all)
	}
}

// TestCancelRetrying: a message that waits for its next attempt does not get it.
func TestCancelRetrying(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	j := testJob("a")
	tried := make(chan struct{}, 10)
	start(t, b, func(context.Context, stage.Delivery[event.Ingested]) ([]stage.Output, error) {
		defer func() { tried <- struct{}{} }()
		return nil, failure.Newf(failure.Unhealthy, "try", "it", "not yet")
	}, 0)
	publish(t, b, event.Ingested{Job: j}.Output())
	pipelinetest.Receive(t, "a first attempt", tried)
	cancel(t, b, 1, j)
	empty(t, b)
	if all := endedAs(t, b); all[event.TerminalID(j)] != "cancelled" || len(all) != 1 {
		t.Fatalf("ends %v", all)
	}
}

// TestACancelledJobCanBeReplayed: what is asked for after the cancellation is done.
func TestACancelledJobCanBeReplayed(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	j := testJob("a")
	publish(t, b, event.Ingested{Job: j}.Output())
	cancel(t, b, 1, j)
	start(t, b, func(_ context.Context, d stage.Delivery[event.Ingested]) ([]stage.Output, error) {
		return []stage.Output{converted(d.Body.Job)}, nil
	}, 0)
	box, err := deadletter.NewBox(t.Context(), b.JS())
	if err != nil {
		t.Fatal(err)
	}
	report, err := box.Replay(t.Context(), deadletter.Filter{Class: failure.Cancelled}, deadletter.Options{Make: event.Replay, Publish: b.Publish})
	if err != nil || report.Replayed != 1 {
		t.Fatalf("report %+v, %v", report, err)
	}
	j.Pass = 1
	pipelinetest.Eventually(t, "the replay converts", func() bool { return endedAs(t, b)[event.TerminalID(j)] == "converted" })
}

// TestACancellationIsOfItsPass: a document that is dropped after a cancellation is wanted, also when the clock of whoever took it in says that it was before.
func TestACancellationIsOfItsPass(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	j := testJob("a")
	publish(t, b, event.Ingested{Job: j}.Output())
	cancel(t, b, 1, j)
	start(t, b, func(_ context.Context, d stage.Delivery[event.Ingested]) ([]stage.Output, error) {
		return []stage.Output{converted(d.Body.Job)}, nil
	}, 0)
	later := j
	later.Drop, later.AcceptedAt = strings.Repeat("d", 32), j.AcceptedAt.Add(-time.Hour)
	publish(t, b, event.Ingested{Job: later}.Output())
	empty(t, b)
	if all := endedAs(t, b); all[event.TerminalID(j)] != "cancelled" || all[event.TerminalID(later)] != "converted" {
		t.Fatalf("ends %v", all)
	}
}

// TestNobodyHoldsAllEnds: what is noted of passes grows with the documents that failed. A loop asks about those of its messages, and is sent no others'.
func TestNobodyHoldsAllEnds(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	kv, err := b.JS().KeyValue(t.Context(), jet.KVEnds)
	if err != nil {
		t.Fatal(err)
	}
	note := func(key, value string) {
		t.Helper()
		if _, err := kv.PutString(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		note(fmt.Sprintf("end.%d-0", i), `{"told":true}`)
		note(fmt.Sprintf("%d-0", i), `{"job":"other","by":"tester"}`)
	}
	ended, cancelled, wanted := testJob("ended"), testJob("cancelled"), testJob("wanted")
	note("end."+ended.PassID(), `{"told":true}`)
	note(cancelled.PassID(), `{"job":"`+cancelled.ID+`","by":"tester"}`)
	for _, j := range []job.Job{ended, cancelled, wanted} {
		publish(t, b, event.Ingested{Job: j}.Output())
	}
	start(t, b, func(_ context.Context, d stage.Delivery[event.Ingested]) ([]stage.Output, error) {
		return []stage.Output{converted(d.Body.Job)}, nil
	}, 0)
	empty(t, b)
	if all := endedAs(t, b); all[event.TerminalID(wanted)] != "converted" || all[event.TerminalID(cancelled)] != "cancelled" || len(all) != 2 {
		t.Fatalf("ended: %v", all)
	}
	stream, err := b.JS().Stream(t.Context(), "KV_"+jet.KVEnds)
	if err != nil {
		t.Fatal(err)
	}
	followers := 0
	for c := range stream.ListConsumers(t.Context()).Info() {
		followers++
		if c.Delivered.Consumer > 0 {
			t.Errorf("%d entries were sent to who follows %s", c.Delivered.Consumer, c.Config.FilterSubject)
		}
	}
	if followers != 1 {
		t.Errorf("%d follow the cancellations, want 1", followers)
	}
}
