package deadletter_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

func many(n int) (letters []deadletter.Record) {
	for i := range n {
		letters = append(letters, letter(i, 0, stage.Validator, failure.Timeout, "too slow"))
	}
	return letters
}

func options(b *jet.Broker) deadletter.Options {
	return deadletter.Options{By: "anna", Make: event.Replay, Publish: b.Publish}
}

// queued reads the work queue: subject and message id of everything in it.
func queued(t *testing.T, b *jet.Broker) (found []string) {
	t.Helper()
	s, err := b.JS().Stream(t.Context(), jet.StreamJobs)
	if err != nil {
		t.Fatal(err)
	}
	for seq := max(s.CachedInfo().State.FirstSeq, 1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, m.Subject+" "+m.Header.Get(jetstream.MsgIDHeader))
	}
	return found
}

// wanted is what a replay of letters as the given pass queues.
func wanted(pass int, letters ...deadletter.Record) (out []string) {
	for _, r := range letters {
		r.Job.Pass = pass
		out = append(out, event.SubjectIngested+" "+event.Ingested{Job: r.Job}.MessageID())
	}
	return out
}

func TestReplayOnceAndAgain(t *testing.T) {
	// Two pages of one document, and another document.
	page1, page2 := letter(1, 1, stage.GPURunner, failure.OOM, "page 1"), letter(1, 2, stage.GPURunner, failure.OOM, "page 2")
	other := letter(2, 0, stage.Validator, failure.Timeout, "too slow")
	dead, broker, _ := box(t, page1, page2, other)

	dry := options(broker)
	dry.DryRun = true
	var outcomes []string
	dry.Progress = func(s deadletter.Step) {
		outcomes = append(outcomes, s.Outcome)
		if s.Total != 2 || s.Pass != 1 || s.Output.Subject != event.SubjectIngested {
			t.Errorf("dry step %+v", s)
		}
	}
	report, err := dead.Replay(t.Context(), deadletter.Filter{}, dry)
	if err != nil || report != (deadletter.Report{Selected: 3, Total: 2, Replayed: 2}) || !slices.Equal(outcomes, []string{"would-replay", "would-replay"}) {
		t.Fatalf("dry run: %+v, %v, %v", report, outcomes, err)
	}
	if got := queued(t, broker); len(got) != 0 {
		t.Fatalf("a dry run published %v", got)
	}

	report, err = dead.Replay(t.Context(), deadletter.Filter{}, options(broker))
	if err != nil || report != (deadletter.Report{Selected: 3, Total: 2, Replayed: 2}) {
		t.Fatalf("replay: %+v, %v", report, err)
	}
	if got, want := queued(t, broker), wanted(1, page1, other); !slices.Equal(got, want) {
		t.Fatalf("queued %v, want %v", got, want)
	}
	e, err := dead.Get(t.Context(), page2.ID)
	if err != nil || !e.Replayed || e.By != "anna" || e.Count != 1 || time.Since(e.ReplayedAt) > time.Minute {
		t.Errorf("the other page's record: %+v, %v", e, err)
	}
	if got := ids(t, dead, deadletter.Filter{}); len(got) != 0 {
		t.Errorf("still open: %v", got)
	}

	report, err = dead.Replay(t.Context(), deadletter.Filter{}, options(broker))
	if err != nil || report != (deadletter.Report{Selected: 3, Already: 3}) {
		t.Errorf("second replay: %+v, %v", report, err)
	}
	again := options(broker)
	again.Again = true
	report, err = dead.Replay(t.Context(), deadletter.Filter{Stage: stage.GPURunner}, again)
	if err != nil || report != (deadletter.Report{Selected: 2, Total: 1, Replayed: 1}) {
		t.Errorf("replay again: %+v, %v", report, err)
	}
	if got, want := queued(t, broker), append(wanted(1, page1, other), wanted(2, page1)...); !slices.Equal(got, want) {
		t.Errorf("queued %v, want %v", got, want)
	}

	// The second pass dies as well: open again, and its replay is the third pass.
	third := page1
	third.Job.Pass, third.ID = 2, deadletter.RecordID(stage.GPURunner, "second death")
	if _, err := deadletter.Publish(t.Context(), broker.JS(), third); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, dead, deadletter.Filter{}); !slices.Equal(got, []string{third.ID}) {
		t.Errorf("open: %v", got)
	}
	if _, err := dead.Replay(t.Context(), deadletter.Filter{}, options(broker)); err != nil {
		t.Fatal(err)
	}
	if got := queued(t, broker); got[len(got)-1] != wanted(3, page1)[0] {
		t.Errorf("queued last %v", got)
	}
	if e, err = dead.Get(t.Context(), third.ID); err != nil || e.Count != 3 || !e.Replayed {
		t.Errorf("after three replays: %+v, %v", e, err)
	}
	// Of a drop's records the latest pass tells how it is now.
	again.DryRun = true
	again.Progress = func(s deadletter.Step) {
		if s.Record.Job.Drop == third.Job.Drop && s.Record.ID != third.ID {
			t.Errorf("replays record %s of pass %d", s.Record.ID, s.Record.Job.Pass)
		}
	}
	if _, err := dead.Replay(t.Context(), deadletter.Filter{}, again); err != nil {
		t.Fatal(err)
	}
}

func TestTwoReplaysAtOnceStartEachPassOnce(t *testing.T) {
	letters := many(60)
	first, broker, url := box(t, letters...)
	other := pipelinetest.Connect(t, url)
	second := open(t, other)
	reports := make([]deadletter.Report, 2)
	var group sync.WaitGroup
	for i, replay := range []func() (deadletter.Report, error){
		func() (deadletter.Report, error) {
			return first.Replay(t.Context(), deadletter.Filter{}, options(broker))
		},
		func() (deadletter.Report, error) {
			return second.Replay(t.Context(), deadletter.Filter{}, options(other))
		},
	} {
		group.Go(func() {
			var err error
			if reports[i], err = replay(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := queued(t, broker); len(got) != 60 {
		t.Errorf("%d messages for 60 documents", len(got))
	}
	if n := reports[0].Replayed + reports[1].Replayed; n != 60 {
		t.Errorf("%+v and %+v", reports[0], reports[1])
	}
	for e, err := range first.List(t.Context(), deadletter.Filter{Replayed: true}) {
		if err != nil || e.Count != 1 || !e.Replayed {
			t.Fatalf("%+v, %v", e, err)
		}
	}
}

func TestInterruptedReplayGoesOn(t *testing.T) {
	letters := many(20)
	dead, broker, _ := box(t, letters...)
	ctx, cancel := context.WithCancel(t.Context())
	o := options(broker)
	o.Progress = func(s deadletter.Step) {
		if s.Done == 7 {
			cancel()
		}
	}
	report, err := dead.Replay(ctx, deadletter.Filter{}, o)
	if !errors.Is(err, context.Canceled) || report.Replayed != 7 || report.Total != 20 {
		t.Fatalf("interrupted: %+v, %v", report, err)
	}
	report, err = dead.Replay(t.Context(), deadletter.Filter{}, options(broker))
	if err != nil || report.Replayed != 13 || report.Already != 7 {
		t.Fatalf("second run: %+v, %v", report, err)
	}
	if got, want := queued(t, broker), wanted(1, letters...); !slices.Equal(got, want) {
		t.Errorf("queued %d messages, want each of 20 once", len(got))
	}
}

func TestDyingBetweenPublishAndMarkStartsOnePass(t *testing.T) {
	letters := many(3)
	dead, broker, _ := box(t, letters...)
	o := options(broker)
	died := errors.New("died")
	o.Publish = func(ctx context.Context, outputs ...stage.Output) error {
		if err := broker.Publish(ctx, outputs...); err != nil {
			return err
		}
		return died
	}
	if _, err := dead.Replay(t.Context(), deadletter.Filter{}, o); !errors.Is(err, died) {
		t.Fatalf("error %v", err)
	}
	if got := ids(t, dead, deadletter.Filter{}); len(got) != 3 {
		t.Fatalf("marked before it was published for sure: %d open", len(got))
	}
	if report, err := dead.Replay(t.Context(), deadletter.Filter{}, options(broker)); err != nil || report.Replayed != 3 {
		t.Fatalf("%+v, %v", report, err)
	}
	if got, want := queued(t, broker), wanted(1, letters...); !slices.Equal(got, want) {
		t.Errorf("queued %v, want %v", got, want)
	}
}

// TestAPassThatMayHaveBeenThroughIsLeftAlone: whoever died between publish and mark long ago has perhaps started a pass that ended since; doing it again could end it
// twice.
func TestAPassThatMayHaveBeenThroughIsLeftAlone(t *testing.T) {
	letters := many(1)
	dead, broker, _ := box(t, letters...)
	o := options(broker)
	died := errors.New("died")
	o.Publish = func(context.Context, ...stage.Output) error { return died }
	if _, err := dead.Replay(t.Context(), deadletter.Filter{}, o); !errors.Is(err, died) {
		t.Fatalf("error %v", err)
	}
	defer deadletter.SetBegunFor(0)() // a night later
	if report, err := dead.Replay(t.Context(), deadletter.Filter{}, options(broker)); err != nil || report.Replayed != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	if got, want := queued(t, broker), wanted(2, letters...); !slices.Equal(got, want) {
		t.Errorf("queued %v, want %v", got, want)
	}
	if report, err := dead.Replay(t.Context(), deadletter.Filter{}, options(broker)); err != nil || report.Replayed != 0 || report.Already != 1 {
		t.Errorf("once more: %+v, %v", report, err)
	}
}

func TestRateHoldsBack(t *testing.T) {
	dead, broker, _ := box(t, many(2)...)
	ctx, cancel := context.WithCancel(t.Context())
	o := options(broker)
	o.Rate = 1.0 / 3600
	steps := make(chan deadletter.Step, 2)
	o.Progress = func(s deadletter.Step) { steps <- s }
	done := make(chan error, 1)
	go func() {
		_, err := dead.Replay(ctx, deadletter.Filter{}, o)
		done <- err
	}()
	pipelinetest.Receive(t, "the first document", steps)
	cancel() // while the second waits its hour
	if err := pipelinetest.Receive(t, "the end", done); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got := queued(t, broker); len(got) != 1 {
		t.Errorf("%d messages, want 1", len(got))
	}
	o.Rate = -1
	if _, err := dead.Replay(t.Context(), deadletter.Filter{}, o); err == nil {
		t.Error("a negative rate is taken")
	}
}

func TestReplayFromStartAndWithOptions(t *testing.T) {
	late, early := letter(1, 0, stage.GPURunner, failure.OOM, "page 1"), letter(2, 0, stage.Ingest, failure.SourceGone, "gone")
	dead, broker, _ := box(t, late, early)
	o := options(broker)
	o.From, o.Set = deadletter.FromStart, map[string]string{"engine": "text"}
	if report, err := dead.Replay(t.Context(), deadletter.Filter{}, o); err != nil || report.Replayed != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	s, err := broker.JS().Stream(t.Context(), jet.StreamJobs)
	if err != nil {
		t.Fatal(err)
	}
	for seq, r := range map[uint64]deadletter.Record{1: late, 2: early} {
		m, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		var d event.Dropped
		if err := json.Unmarshal(m.Data, &d); err != nil || !event.IsDropped(m.Subject) {
			t.Fatalf("%s %s: %v", m.Subject, m.Data, err)
		}
		source, err := d.Source()
		if err != nil || source.Version() != r.Job.Source.Version() || d.Pass != 1 || !maps.Equal(d.Set, o.Set) {
			t.Errorf("hint %+v, %v", d, err)
		}
	}
}

func TestWhatCanNotBeReplayedIsRefusedAndTheRestGoesOn(t *testing.T) {
	nameless := deadletter.Record{ID: "n", Stage: stage.Validator, Class: failure.InvalidMessage, Message: "not JSON", Payload: deadletter.RawPayload([]byte("{"))}
	good := letter(1, 0, stage.Validator, failure.Timeout, "too slow")
	dead, broker, _ := box(t, nameless, good)
	o := options(broker)
	var refused []deadletter.Step
	o.Progress = func(s deadletter.Step) {
		if s.Outcome == deadletter.Refused {
			refused = append(refused, s)
		}
	}
	report, err := dead.Replay(t.Context(), deadletter.Filter{}, o)
	if err != nil || report.Replayed != 1 || report.Refused != 1 || len(refused) != 1 || refused[0].Record.ID != "n" || refused[0].Err == nil {
		t.Errorf("%+v, %v, %+v", report, err, refused)
	}
	o.Set, o.Again = map[string]string{"engine": "steam"}, true
	if report, err = dead.Replay(t.Context(), deadletter.Filter{IDs: []string{good.ID}}, o); err != nil || report.Refused != 1 {
		t.Errorf("an unknown engine: %+v, %v", report, err)
	}
}
