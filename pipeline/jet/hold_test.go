package jet_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
)

func unavailable() error { return failure.Newf(failure.StoreUnavailable, "read", "it", "away") }

// TestAStoreThatIsAwayCostsNoAttempt: the message is held, not given back, and no document fails.
func TestAStoreThatIsAwayCostsNoAttempt(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	j := testJob("a")
	var calls atomic.Int32
	start(t, b, func(_ context.Context, d stage.Delivery[event.Ingested]) ([]stage.Output, error) {
		if d.Attempt != 1 {
			t.Errorf("attempt %d", d.Attempt)
		}
		if calls.Add(1) < 4 {
			return nil, unavailable()
		}
		return []stage.Output{converted(j)}, nil
	}, 0)
	publish(t, b, event.Ingested{Job: j}.Output())
	empty(t, b)
	if calls.Load() != 4 || messages(t, b, jet.StreamDead) != 0 {
		t.Fatalf("%d calls, %d dead letters", calls.Load(), messages(t, b, jet.StreamDead))
	}
}

// TestHoldingEndsWithTheProcess: a message held for the store is given back as soon as the process wants to stop, not after its grace.
func TestHoldingEndsWithTheProcess(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	called := make(chan struct{}, 100)
	stop := start(t, b, func(context.Context, stage.Delivery[event.Ingested]) ([]stage.Output, error) {
		called <- struct{}{}
		return nil, unavailable()
	}, time.Hour)
	publish(t, b, event.Ingested{Job: testJob("a")}.Output())
	pipelinetest.Receive(t, "the handler has the message", called)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	pipelinetest.Receive(t, "the loop has stopped", stopped)
	consumer, err := b.JS().Consumer(t.Context(), jet.StreamJobs, stage.Validator)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := consumer.Next(jetstream.FetchMaxWait(jet.AckWait / 3)); err != nil {
		t.Fatalf("the message did not come back: %v", err)
	}
}

// TestAFullQueueHoldsTheStageBack: when what follows is refused for lack of room, the message waits in hand and nothing fails.
func TestAFullQueueHoldsTheStageBack(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	jobs := jet.Streams(1)[0]
	jobs.MaxMsgsPerSubject = 1
	if _, err := b.JS().UpdateStream(t.Context(), jobs); err != nil {
		t.Fatal(err)
	}
	first, second := testJob("first"), testJob("second")
	rendered := func(i int) stage.Output {
		return stage.Output{Subject: event.SubjectRendered, ID: map[int]string{1: "one", 2: "two"}[i], Body: event.Rendered{Job: first}}
	}
	publish(t, b, rendered(1))
	tried := make(chan struct{}, 1)
	start(t, b, func(context.Context, stage.Delivery[event.Ingested]) ([]stage.Output, error) {
		tried <- struct{}{}
		return []stage.Output{rendered(2)}, nil
	}, 0)
	publish(t, b, event.Ingested{Job: second}.Output())
	pipelinetest.Receive(t, "the handler has the message", tried)
	if err := b.Publish(t.Context(), rendered(2)); err == nil {
		t.Fatal("there is room")
	}
	stream, err := b.JS().Stream(t.Context(), jet.StreamJobs)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject(event.SubjectRendered)); err != nil { // the publisher catches up
		t.Fatal(err)
	}
	pipelinetest.Eventually(t, "the second is through", func() bool {
		msg, err := stream.GetLastMsgForSubject(t.Context(), event.SubjectRendered)
		return err == nil && msg.Header.Get(jetstream.MsgIDHeader) == "two" && messages(t, b, jet.StreamJobs) == 1
	})
	if n := messages(t, b, jet.StreamDead); n != 0 || len(tried) != 0 {
		t.Fatalf("%d dead letters, %d more tries", n, len(tried))
	}
}

// TestInFlightIsBounded: however many messages wait, a loop holds no more than its concurrency.
func TestInFlightIsBounded(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	const n = 20
	var outputs []stage.Output
	for i := range n {
		outputs = append(outputs, event.Ingested{Job: testJob(string(rune('a' + i)))}.Output())
	}
	publish(t, b, outputs...)
	consumer, err := b.JS().CreateOrUpdateConsumer(t.Context(), jet.StreamJobs, jet.Consumer(event.SubjectIngested))
	if err != nil {
		t.Fatal(err)
	}
	var most, now atomic.Int64
	start(t, b, func(context.Context, stage.Delivery[event.Ingested]) ([]stage.Output, error) { // two at once
		defer now.Add(-1)
		info, err := consumer.Info(t.Context())
		if err != nil {
			return nil, failure.New(failure.Unhealthy, "count", "", err)
		}
		for v := max(now.Add(1), int64(info.NumAckPending)); ; {
			if was := most.Load(); was >= v || most.CompareAndSwap(was, v) {
				return nil, nil
			}
		}
	}, 0)
	empty(t, b)
	if most.Load() > 2 || most.Load() < 1 {
		t.Fatalf("%d in flight, want at most 2", most.Load())
	}
}

// TestAnEndIsToldOnce: a message that comes again after the broker has forgotten ids does not end its job a second time, whatever it comes to now.
func TestAnEndIsToldOnce(t *testing.T) {
	for name, err := range map[string]error{"converts again": nil, "fails now": failure.Newf(failure.PDFCorrupt, "open", "it", "broken")} {
		t.Run(name, func(t *testing.T) {
			b, _ := pipelinetest.NATS(t)
			defer jet.SetRemembered(0)()
			events := jet.Streams(1)[1]
			events.Duplicates = 100 * time.Millisecond // the night is short
			if _, err := b.JS().UpdateStream(t.Context(), events); err != nil {
				t.Fatal(err)
			}
			j := testJob("a")
			publish(t, b, event.Ingested{Job: j}.Output())
			consumer, e := b.JS().CreateOrUpdateConsumer(t.Context(), jet.StreamJobs, jet.Consumer(event.SubjectIngested))
			if e != nil {
				t.Fatal(e)
			}
			msg, e := consumer.Next() // by a process that publishes and dies before its ack
			if e != nil {
				t.Fatal(e)
			}
			publish(t, b, converted(j))
			pipelinetest.Eventually(t, "the broker has forgotten", func() bool {
				ack, err := b.JS().Publish(t.Context(), "pdf.failed", []byte("{}"), jetstream.WithMsgID("probe"))
				return err == nil && !ack.Duplicate && ack.Sequence > 2
			})
			before := messages(t, b, jet.StreamEvents)
			if err := msg.Nak(); err != nil {
				t.Fatal(err)
			}
			start(t, b, func(context.Context, stage.Delivery[event.Ingested]) ([]stage.Output, error) {
				if err != nil {
					return nil, err
				}
				return []stage.Output{converted(j)}, nil
			}, 0)
			empty(t, b)
			if n := messages(t, b, jet.StreamEvents); n != before {
				t.Fatalf("%d events more", n-before)
			}
		})
	}
}

// TestAnEndIsFoundByTheServersClock: what is long ago is the server's to say, and when its clock was set back everything it holds may be later than it seems.
func TestAnEndIsFoundByTheServersClock(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	j := testJob("a")
	publish(t, b, converted(j))
	for name, c := range map[string]struct {
		stored time.Time
		over   bool
	}{
		"a moment ago: the broker remembers ids": {time.Now(), false},
		"long ago":                               {time.Now().Add(-time.Hour), true},
		"before the clock was set back":          {time.Now().Add(time.Hour), true},
	} {
		if over, err := b.Over(t.Context(), j, c.stored); err != nil || over != c.over {
			t.Errorf("%s: %t, %v", name, over, err)
		}
	}
}

// TestAStrandedMessageIsBuried: the advisory of a crash loop is lost with its server, and the message is found all the same.
func TestAStrandedMessageIsBuried(t *testing.T) {
	defer jet.SetStrandedEvery(10 * time.Millisecond)()
	b, _ := pipelinetest.NATS(t)
	if err := b.JS().DeleteStream(t.Context(), jet.StreamAdvisories); err != nil {
		t.Fatal(err)
	}
	publish(t, b, event.Ingested{Job: testJob("killer")}.Output())
	consumer, err := b.JS().CreateOrUpdateConsumer(t.Context(), jet.StreamJobs, jet.Consumer(event.SubjectIngested))
	if err != nil {
		t.Fatal(err)
	}
	var kept jetstream.Msg // somebody works on this one
	die := func() {        // whoever is given another
		t.Helper()
		for range jet.MaxDeliver {
			if kept != nil {
				_ = kept.InProgress() // the test fails when it comes again
			}
			msg, err := consumer.Next()
			if err != nil {
				t.Fatal(err)
			}
			if err := msg.Nak(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := consumer.Next(jetstream.FetchMaxWait(200 * time.Millisecond)); err == nil || errors.Is(err, context.Canceled) {
			t.Fatalf("delivered beyond the fence: %v", err)
		}
	}
	die()
	if err := b.Apply(t.Context(), 1); err != nil { // an empty stream of advisories
		t.Fatal(err)
	}
	waiting := event.Ingested{Job: testJob("waiting")} // nobody has taken it yet: it must stay
	publish(t, b, waiting.Output())
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		if err := jet.RunCrashLoops(ctx, b, "test", telemetry.Discard()); err != nil {
			t.Error(err)
		}
	})
	pipelinetest.Eventually(t, "the message comes again", func() bool {
		for q, err := range b.Queue(t.Context()) {
			if err == nil && q.Work.Drop == waiting.Drop {
				return true // what was before it is behind it now
			}
			break
		}
		return false
	})
	if kept, err = consumer.Next(); err != nil || messages(t, b, jet.StreamDead) != 0 {
		t.Fatalf("%v; %d dead letters", err, messages(t, b, jet.StreamDead))
	}
	die()
	pipelinetest.Eventually(t, "the message is buried", func() bool { return messages(t, b, jet.StreamDead) == 1 && messages(t, b, jet.StreamJobs) == 1 })
	cancel()
	group.Wait()
	for q, err := range b.Queue(t.Context()) {
		if err != nil || q.Work.Drop != waiting.Drop {
			t.Fatalf("in the queue: %+v, %v", q.Work, err)
		}
	}
	if n := messages(t, b, jet.StreamEvents); n != 1 {
		t.Fatalf("%d events, want 1 pdf.failed", n)
	}
}
