package jet_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// rangeOf is a range of a job in a lane.
func rangeOf(name, lane string) stage.Output {
	m := event.Range{Job: testJob(name), Engine: "text", Lane: lane, Range: pages.Range{First: 1, Last: 1}, Total: 1, Want: pages.Set{{First: 1, Last: 1}}, Mode: event.ModeDefault}
	return stage.Output{Subject: m.Subject(), ID: m.MessageID(), Body: m}
}

// TestTheQueueIsReadInItsOrder: all of it, wherever it is dense, sparse or empty.
func TestTheQueueIsReadInItsOrder(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	stream, err := b.JS().Stream(t.Context(), jet.StreamJobs)
	if err != nil {
		t.Fatal(err)
	}
	const n = 700
	var outputs []stage.Output
	for i := range n {
		outputs = append(outputs, rangeOf(fmt.Sprint("doc-", i), "bulk"))
	}
	publish(t, b, outputs...)
	there := map[uint64]bool{}
	for seq := uint64(1); seq <= n; seq++ {
		there[seq] = true
	}
	check := func(what string) {
		t.Helper()
		var want, got []uint64
		for seq := uint64(1); seq <= n; seq++ {
			if there[seq] {
				want = append(want, seq)
			}
		}
		for q, err := range b.Queue(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, q.Seq)
			if q.Work.Source.Key != fmt.Sprintf("doc-%d.pdf", q.Seq-1) {
				t.Errorf("%s: message %d is about %s", what, q.Seq, q.Work.Source.Key)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: read %d, want %d", what, got, want)
		}
	}
	check("whole")
	remove := func(gone func(seq uint64) bool) {
		t.Helper()
		for seq := range there {
			if there[seq] && gone(seq) {
				if err := stream.DeleteMsg(t.Context(), seq); err != nil {
					t.Fatal(err)
				}
				there[seq] = false
			}
		}
	}
	remove(func(seq uint64) bool { return seq < 5 || seq > 150 && seq < 400 || seq%7 == 0 })
	check("with gaps")
	remove(func(seq uint64) bool { return seq%90 != 1 })
	check("sparse")
	remove(func(uint64) bool { return true })
	check("empty")
}

// TestTheQueueMissesNoJobThatIsHandedOn: while it is read, jobs go on, each by a message behind all others before the former one goes.
func TestTheQueueMissesNoJobThatIsHandedOn(t *testing.T) {
	b, url := pipelinetest.NATS(t)
	const jobs = 200
	var outputs []stage.Output
	for i := range jobs {
		outputs = append(outputs, rangeOf(fmt.Sprint("doc-", i), "bulk"))
	}
	publish(t, b, outputs...)
	mover := pipelinetest.Connect(t, url)
	stream, err := mover.JS().Stream(t.Context(), jet.StreamJobs)
	if err != nil {
		t.Fatal(err)
	}
	over, moved := make(chan struct{}), make(chan error, 1)
	go func() {
		for seq := uint64(1); ; seq++ {
			select {
			case <-over:
				moved <- nil
				return
			default:
			}
			raw, err := stream.GetMsg(t.Context(), seq)
			if err == nil {
				_, err = mover.JS().Publish(t.Context(), raw.Subject, raw.Data, jetstream.WithMsgID(fmt.Sprint("moved-", seq)))
			}
			if err == nil {
				err = stream.DeleteMsg(t.Context(), seq)
			}
			if err != nil {
				moved <- err
				return
			}
		}
	}()
	for range 3 {
		seen := map[string]bool{}
		for q, err := range b.Queue(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if seen[q.Work.ID+q.Work.Source.Key] = true; len(seen) == jobs && q.Seq > 20*jobs {
				break // the mover may be faster than any reader
			}
		}
		if len(seen) != jobs {
			t.Errorf("saw %d jobs of %d that were there all the while", len(seen), jobs)
		}
	}
	close(over)
	if err := pipelinetest.Receive(t, "the mover ends", moved); err != nil {
		t.Fatal(err)
	}
}
