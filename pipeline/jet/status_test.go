package jet_test

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
)

func numbered(name string, n int) job.Job {
	j := testJob(name)
	j.ID = job.ID(j.Source.SHA256, job.Options{Engine: name, Timeout: float64(n)})
	return j
}

// TestStatusIsRebuilt: the projection is deleted, and comes back from events, queue and products.
func TestStatusIsRebuilt(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	projection, err := jet.NewProjection(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	good, bad, waiting, old := numbered("good", 1), numbered("bad", 2), numbered("waiting", 3), numbered("old", 4)
	ctx, end := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { _ = projection.Run(ctx) })
	group.Go(func() {
		loop := jet.Loop{Stage: stage.Validator, Subject: event.SubjectIngested, Concurrency: 1, Log: telemetry.Discard(), Observer: projection}
		_ = jet.Run(ctx, b, loop, func(_ context.Context, d stage.Delivery[event.Ingested]) ([]stage.Output, error) {
			switch d.Body.ID {
			case good.ID:
				return []stage.Output{event.Terminal(good, event.SubjectConverted, event.Converted{
					Job: good.ID, Drop: good.Drop, Source: good.Source, Pages: 3, Attempts: 1,
				}, time.Now())}, nil
			case bad.ID:
				return nil, failure.Newf(failure.PDFCorrupt, "open", "it", "broken")
			}
			return []stage.Output{event.Range{
				Job: d.Body.Job, Engine: "text", Lane: job.LaneBulk, Range: pages.Range{First: 1, Last: 2}, Total: 2, Mode: event.ModeDefault,
			}.Output()}, nil
		})
	})
	for _, j := range []job.Job{good, bad, waiting} {
		publish(t, b, event.Ingested{Job: j}.Output())
	}
	want := map[string]string{good.ID: jet.StateConverted, bad.ID: jet.StateFailed, waiting.ID: jet.StateQueued}
	settled := func() bool {
		for id, state := range want {
			if s, err := b.ReadStatus(t.Context(), id); err != nil || s.State != state {
				return false
			}
		}
		return true
	}
	pipelinetest.Eventually(t, "the projection is up to date", settled)
	if s, err := b.ReadStatus(t.Context(), waiting.ID); err != nil || s.WaitsFor != "a text worker, lane bulk" || s.Pages != 2 || s.Attempts != 1 || s.Seconds[stage.Validator] <= 0 {
		t.Errorf("status %+v, %v", s, err)
	}
	end()
	group.Wait()

	if err := b.JS().DeleteKeyValue(t.Context(), jet.KVJobs); err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ReadStatus(t.Context(), good.ID); !errors.Is(err, jet.ErrNoStatus) {
		t.Fatalf("still there: %v", err)
	}
	want[old.ID] = jet.StateConverted
	products := func(yield func(jet.Status, error) bool) { // its event is older than events are kept
		yield(jet.Status{Job: old.ID, Drop: old.Drop, Source: old.Source, State: jet.StateConverted, UpdatedAt: time.Now().Add(-time.Hour)}, nil)
	}
	for range 2 { // twice: it changes nothing
		n, err := b.RebuildStatus(t.Context(), iter.Seq2[jet.Status, error](products))
		if err != nil || n != 4 || !settled() {
			t.Fatalf("rebuilt %d, %v", n, err)
		}
	}
	if s, err := b.ReadStatus(t.Context(), bad.ID); err != nil || s.Class != failure.PDFCorrupt || s.Source.Key != "bad.pdf" {
		t.Errorf("status %+v, %v", s, err)
	}
}

func TestNewsOfTheSamePassAddUp(t *testing.T) {
	now := time.Now()
	was := jet.Status{Job: "j", Drop: "d", State: jet.StateQueued, Attempts: 3, Pages: 9, Seconds: map[string]float64{"validator": 1}, Done: pages.Set{{First: 1, Last: 2}}, UpdatedAt: now}
	news := jet.Status{Job: "j", Drop: "d", State: jet.StateWorking, Attempts: 1, Seconds: map[string]float64{"validator": 2, "gpu-runner": 5}, Done: pages.Set{{First: 2, Last: 4}}, UpdatedAt: now.Add(time.Second)}
	s := jet.Merge(was, news)
	if s.State != jet.StateWorking || s.Attempts != 3 || s.Pages != 9 || s.Seconds["validator"] != 3 || s.Seconds["gpu-runner"] != 5 || s.Done.String() != "1-4" {
		t.Errorf("merged %+v", s)
	}
	end := jet.Status{Job: "j", Drop: "d", State: jet.StateFailed, UpdatedAt: now}
	if s := jet.Merge(end, news); s.State != jet.StateFailed {
		t.Errorf("an end was undone: %+v", s)
	}
	again := jet.Status{Job: "j", Drop: "d", Pass: 1, State: jet.StateQueued, UpdatedAt: now}
	if s := jet.Merge(end, again); s.State != jet.StateQueued || s.Pass != 1 {
		t.Errorf("a replay does not show: %+v", s)
	}
	if s := jet.Merge(again, end); s.Pass != 1 {
		t.Errorf("an earlier pass came back: %+v", s)
	}
}

// TestPlace: how many are ahead, how much that is, and how long it may take.
func TestPlace(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	first, second := numbered("first", 1), numbered("second", 2)
	of := func(j job.Job, from, to int) stage.Output {
		return event.Range{Job: j, Engine: "text", Lane: job.LaneBulk, Range: pages.Range{First: from, Last: to}, Total: 40, Mode: event.ModeDefault}.Output()
	}
	publish(t, b, of(first, 1, 10), of(first, 11, 20), of(second, 1, 5))
	publish(t, b, event.Terminal(first, event.SubjectConverted, event.Converted{ConvertedPages: 10, Timings: event.Timings{Convert: 20}}, time.Now()))
	for i := range 60 { // and a wave of failures since
		publish(t, b, event.Terminal(numbered("failed", 100+i), event.SubjectFailed, event.Failed{}, time.Now()))
	}
	p, err := b.PlaceOf(t.Context(), second.ID)
	if err != nil || p.Stage != stage.GPURunner || p.Ahead != 2 || p.AheadPages != 20 || p.Messages != 1 || p.Pages != 5 || p.Remaining != 0 {
		t.Fatalf("place %+v, %v", p, err)
	}
	if _, err := b.JS().CreateOrUpdateConsumer(t.Context(), jet.StreamJobs, jet.Consumer(event.SubjectValidated("text", job.LaneBulk))); err != nil {
		t.Fatal(err)
	}
	if p, err = b.PlaceOf(t.Context(), second.ID); err != nil || p.Remaining != 50 {
		t.Fatalf("place %+v, %v; want 25 pages of 2 s", p, err)
	}
	if _, err := b.PlaceOf(t.Context(), numbered("third", 3).ID); !errors.Is(err, jet.ErrNotQueued) {
		t.Fatalf("err %v", err)
	}
}
