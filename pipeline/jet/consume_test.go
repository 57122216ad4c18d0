package jet_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
)

func testJob(name string) job.Job {
	source := document.Source{Bucket: "inbox", Key: name + ".pdf", Size: 7, SHA256: strings.Repeat("ab", 32)}
	return job.New(source, job.Default(), "", time.Now())
}

// start runs the validator's loop over handle until the test ends; the returned function stops it and waits.
func start(t *testing.T, b *jet.Broker, handle stage.Handler[event.Ingested], grace time.Duration) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		loop := jet.Loop{Stage: stage.Validator, Subject: event.SubjectIngested, Concurrency: 2, Grace: grace, Log: telemetry.Discard()}
		if err := jet.Run(ctx, b, loop, handle); err != nil {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); group.Wait() })
	t.Cleanup(stop)
	return stop
}

func messages(t *testing.T, b *jet.Broker, stream string) uint64 {
	t.Helper()
	s, err := b.JS().Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func publish(t *testing.T, b *jet.Broker, outputs ...stage.Output) {
	t.Helper()
	if err := b.Publish(t.Context(), outputs...); err != nil {
		t.Fatal(err)
	}
}

func empty(t *testing.T, b *jet.Broker) {
	t.Helper()
	pipelinetest.Eventually(t, "the work queue is empty", func() bool { return messages(t, b, jet.StreamJobs) == 0 })
}

func converted(j job.Job) stage.Output {
	return event.Terminal(j, event.SubjectConverted, event.Converted{Job: j.ID}, time.Now())
}

func TestOutputsArePublishedBeforeTheAck(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	j := testJob("a")
	start(t, b, func(context.Context, stage.Delivery[event.Ingested]) ([]stage.Output, error) {
		return []stage.Output{converted(j)}, nil
	}, 0)
	publish(t, b, event.Ingested{Job: j}.Output())
	empty(t, b)
	if n := messages(t, b, jet.StreamEvents); n != 1 {
		t.Fatalf("%d events, want 1", n)
	}
}

func TestTransientFailureIsTriedAgain(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	j := testJob("a")
	var attempts atomic.Int32
	start(t, b, func(_ context.Context, d stage.Delivery[event.Ingested]) ([]stage.Output, error) {
		if attempts.Add(1); d.Attempt < 3 {
			return nil, failure.Newf(failure.Unhealthy, "try", "it", "not yet")
		}
		return []stage.Output{converted(j)}, nil
	}, 0)
	publish(t, b, event.Ingested{Job: j}.Output())
	empty(t, b)
	if attempts.Load() != 3 || messages(t, b, jet.StreamDead) != 0 {
		t.Fatalf("%d attempts and %d dead letters, want 3 and 0", attempts.Load(), messages(t, b, jet.StreamDead))
	}
}

// TestDeath covers every way in which a message dies at once: each leaves one dead letter with the payload, and one pdf.failed.
func TestDeath(t *testing.T) {
	for name, c := range map[string]struct {
		output stage.Output
		err    error
		class  failure.Class
	}{
		"permanent class": {err: failure.Newf(failure.PDFEncrypted, "open", "a.pdf", "needs a password"), class: failure.PDFEncrypted},
		"marked final":    {err: fmt.Errorf("wrapped: %w", failure.Newf(failure.Crash, "x", "y", "z").Final()), class: failure.Crash},
		"invalid body":    {output: stage.Output{Subject: event.SubjectIngested, ID: "bad", Body: "nonsense"}, class: failure.InvalidMessage},
		"invalid job":     {output: event.Ingested{}.Output(), class: failure.InvalidMessage},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := pipelinetest.NATS(t)
			start(t, b, func(context.Context, stage.Delivery[event.Ingested]) ([]stage.Output, error) { return nil, c.err }, 0)
			if c.output.Subject == "" {
				c.output = event.Ingested{Job: testJob("a")}.Output()
			}
			publish(t, b, c.output)
			empty(t, b)
			dead, err := b.JS().Stream(t.Context(), jet.StreamDead)
			if err != nil {
				t.Fatal(err)
			}
			msg, err := dead.GetLastMsgForSubject(t.Context(), "pdf.dead.validator."+string(c.class))
			if err != nil {
				t.Fatalf("no dead letter of class %s: %v", c.class, err)
			}
			if !strings.Contains(string(msg.Data), `"payload":`) {
				t.Errorf("dead letter without payload: %s", msg.Data)
			}
			if n := messages(t, b, jet.StreamEvents); n != 1 {
				t.Errorf("%d events, want 1", n)
			}
		})
	}
}

func TestPanicIsAFailureOfTheMessage(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	j := testJob("a")
	start(t, b, func(_ context.Context, d stage.Delivery[event.Ingested]) ([]stage.Output, error) {
		if d.Attempt == 1 {
			panic("boom")
		}
		return []stage.Output{converted(j)}, nil
	}, 0)
	publish(t, b, event.Ingested{Job: j}.Output())
	empty(t, b)
	if n := messages(t, b, jet.StreamEvents); n != 1 {
		t.Fatalf("%d events, want 1", n)
	}
}

func TestALostRangeIsNewsForThePublisher(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	m := event.Range{
		Job: testJob("a"), Engine: "text", Lane: job.LaneBulk, Range: pages.Range{First: 3, Last: 4}, Total: 9, Want: pages.Set{{First: 1, Last: 9}}, Mode: event.ModePlain,
	}
	r := deadletter.Record{ID: "d", Stage: stage.GPURunner, Class: failure.DeviceAssert, Message: "why", Payload: mustJSON(t, m)}
	out := event.Ending(r, 1, time.Now())
	body, ok := out[0].Body.(event.Rendered)
	if !ok || len(out) != 1 || len(body.Failed) != 2 || body.Failed[0] != (event.FailedPage{Page: 3, Class: failure.DeviceAssert, Message: "why"}) || body.DeadLetter != "d" {
		t.Fatalf("ending %+v", out)
	}
	publish(t, b, out...)
	if messages(t, b, jet.StreamJobs) != 1 {
		t.Fatal("the news is not in the work queue")
	}
}

// TestABatchWithKnownMessagesIsCompleted: one known id refuses a whole batch, and yet every message must get there.
func TestABatchWithKnownMessagesIsCompleted(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	var outputs []stage.Output
	for i := range 5 {
		m := event.Range{Job: testJob("a"), Engine: "text", Lane: job.LaneBulk, Range: pages.Range{First: i + 1, Last: i + 1}}
		outputs = append(outputs, m.Output())
	}
	publish(t, b, outputs[1:3]...)
	publish(t, b, outputs...)
	publish(t, b, outputs...)
	if n := messages(t, b, jet.StreamJobs); n != 5 {
		t.Fatalf("%d messages, want 5", n)
	}
}

// TestDrain: at shutdown the message in hand is finished within the grace, and given back at once after it.
func TestDrain(t *testing.T) {
	t.Run("finishes", func(t *testing.T) {
		b, _ := pipelinetest.NATS(t)
		j := testJob("a")
		working, finish := make(chan struct{}), make(chan struct{})
		stop := start(t, b, func(context.Context, stage.Delivery[event.Ingested]) ([]stage.Output, error) {
			close(working)
			<-finish
			return []stage.Output{converted(j)}, nil
		}, time.Minute)
		publish(t, b, event.Ingested{Job: j}.Output())
		pipelinetest.Receive(t, "the handler has the message", working)
		stopped := make(chan struct{})
		go func() { stop(); close(stopped) }()
		close(finish)
		pipelinetest.Receive(t, "the loop has stopped", stopped)
		if messages(t, b, jet.StreamJobs) != 0 || messages(t, b, jet.StreamEvents) != 1 {
			t.Fatal("the message in hand was not finished")
		}
	})
	t.Run("gives back", func(t *testing.T) {
		b, _ := pipelinetest.NATS(t)
		working := make(chan struct{}, 1)
		stop := start(t, b, func(ctx context.Context, _ stage.Delivery[event.Ingested]) ([]stage.Output, error) {
			working <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}, time.Millisecond)
		publish(t, b, event.Ingested{Job: testJob("a")}.Output())
		pipelinetest.Receive(t, "the handler has the message", working)
		stop()
		consumer, err := b.JS().Consumer(t.Context(), jet.StreamJobs, stage.Validator)
		if err != nil {
			t.Fatal(err)
		}
		// Well within AckWait: the message was given back, not abandoned.
		msg, err := consumer.Next(jetstream.FetchMaxWait(jet.AckWait / 3))
		if err != nil {
			t.Fatalf("the message did not come back: %v", err)
		}
		if err := msg.Ack(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestCrashLoop: a message that is delivered MaxDeliver times without an answer is buried with its payload and leaves the queue, by somebody
// who was not there when it happened.
func TestCrashLoop(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	j := testJob("killer")
	publish(t, b, event.Ingested{Job: j}.Output())
	consumer, err := b.JS().CreateOrUpdateConsumer(t.Context(), jet.StreamJobs, jet.Consumer(event.SubjectIngested))
	if err != nil {
		t.Fatal(err)
	}
	for range jet.MaxDeliver { // each a process that got it and died; the nak only saves the test the ack wait
		msg, err := consumer.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := msg.Nak(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := consumer.Next(jetstream.FetchMaxWait(200 * time.Millisecond)); !errors.Is(err, jetstream.ErrNoMessages) && err == nil {
		t.Fatal("delivered beyond the fence")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		if err := jet.RunCrashLoops(ctx, b, "test", telemetry.Discard()); err != nil {
			t.Error(err)
		}
	})
	empty(t, b)
	cancel()
	group.Wait()
	dead, err := b.JS().Stream(t.Context(), jet.StreamDead)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := dead.GetLastMsgForSubject(t.Context(), "pdf.dead.validator.crash-loop")
	if err != nil || !strings.Contains(string(msg.Data), j.Drop) {
		t.Fatalf("dead letter: %v", err)
	}
	if n := messages(t, b, jet.StreamEvents); n != 1 {
		t.Fatalf("%d events, want 1 pdf.failed", n)
	}
}

// TestALargeMessageDies: what does not fit beside its message is cut, so that a message as large as the server takes becomes a dead letter all the same, ends its
// job, and can be replayed.
func TestALargeMessageDies(t *testing.T) {
	j := testJob("a")
	large := j
	large.CorrelationID = strings.Repeat("c", 900<<10)
	for name, c := range map[string]struct {
		body   any
		replay bool
	}{
		"a padded message": {body: struct {
			event.Ingested
			Padding string `json:"padding"`
		}{event.Ingested{Job: j}, strings.Repeat("p", 1000<<10)}, replay: true},
		"an absurd job":              {body: event.Ingested{Job: large}},
		"no message of pdfmill's":    {body: strings.Repeat("\u00e4\"", 256<<10-200)},
		"nothing large but the news": {body: event.Ingested{Job: j}, replay: true},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := pipelinetest.NATS(t)
			start(t, b, func(context.Context, stage.Delivery[event.Ingested]) ([]stage.Output, error) {
				cause := errors.New(strings.Repeat("\n", 1<<20)) // as JSON, twice that
				return nil, failure.New(failure.PDFCorrupt, "open", "a.pdf", cause).WithDetail(strings.Repeat("d", 1<<20))
			}, 0)
			publish(t, b, stage.Output{Subject: event.SubjectIngested, ID: "large", Body: c.body})
			empty(t, b)
			if dead, events := messages(t, b, jet.StreamDead), messages(t, b, jet.StreamEvents); dead != 1 || events != 1 {
				t.Fatalf("%d dead letters and %d events, want 1 and 1", dead, events)
			}
			box, err := deadletter.NewBox(t.Context(), b.JS())
			if err != nil {
				t.Fatal(err)
			}
			report, err := box.Replay(t.Context(), deadletter.Filter{}, deadletter.Options{DryRun: true, Make: event.Replay, Publish: b.Publish})
			if err != nil || report.Replayed != map[bool]int{true: 1}[c.replay] {
				t.Errorf("replay: %+v, %v", report, err)
			}
			for e, err := range box.List(t.Context(), deadletter.Filter{}) {
				if err != nil || len(e.Message) == 0 || len(e.Payload) == 0 || len(e.Cut) == 0 {
					t.Errorf("dead letter %s: %v, cut: %v", e.ID, err, e.Cut)
				}
			}
		})
	}
}

// seen passes on what a loop observes.
type seen chan jet.Observation

func (s seen) Observe(o jet.Observation) {
	if o.Outcome != jet.Started {
		s <- o
	}
}

// TestWhatALaterVersionWroteIsLeftForIt: nobody works on a message that says it is of a version to come, and nobody throws it away.
func TestWhatALaterVersionWroteIsLeftForIt(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	ours, later := testJob("ours"), event.Ingested{Job: testJob("later")}.Output()
	later.Header = map[string]string{"Pdfmill-Schema": strconv.Itoa(jet.SchemaVersion + 1)}
	publish(t, b, later, event.Ingested{Job: ours}.Output())

	stream, err := b.JS().Stream(t.Context(), jet.StreamJobs)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.GetMsg(t.Context(), 2); err != nil || m.Header.Get("Pdfmill-Schema") != strconv.Itoa(jet.SchemaVersion) {
		t.Errorf("a message of ours does not say its version: %v, %v", m, err)
	}
	outcomes, handled := make(seen, 10), make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		loop := jet.Loop{Stage: stage.Validator, Subject: event.SubjectIngested, Concurrency: 1, Observer: outcomes, Log: telemetry.Discard()}
		if err := jet.Run(ctx, b, loop, func(_ context.Context, d stage.Delivery[event.Ingested]) ([]stage.Output, error) {
			handled <- d.Body.Job.Source.Key
			return nil, nil
		}); err != nil {
			t.Error(err)
		}
	})
	left := <-outcomes
	if left.Outcome != jet.Retried || left.Class != failure.Unhealthy || left.Delay <= 0 || left.Work.ID != testJob("later").ID {
		t.Errorf("of a later version: %+v", left)
	}
	if done := <-outcomes; done.Outcome != jet.Done || done.Work.ID != ours.ID {
		t.Errorf("of this version: %+v", done)
	}
	cancel()
	group.Wait()
	if key := <-handled; key != ours.Source.Key || len(handled) > 0 {
		t.Errorf("handled %s and %d more", key, len(handled))
	}
	if messages(t, b, jet.StreamJobs) != 1 || messages(t, b, jet.StreamDead) != 0 {
		t.Errorf("%d messages in the queue and %d dead letters, want 1 and 0", messages(t, b, jet.StreamJobs), messages(t, b, jet.StreamDead))
	}
}
