package jet_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// told is a broker with so many events.
func told(t *testing.T, n int) *jet.Broker {
	t.Helper()
	b, _ := pipelinetest.NATS(t)
	for i := range n {
		if _, err := b.JS().Publish(t.Context(), "pdf.converted", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// TestALookNoticesWhoeverReadsFromIt: a process that stood still may find its look to be another's, who would miss what it takes.
func TestALookNoticesWhoeverReadsFromIt(t *testing.T) {
	const n = 1500 // more than are asked for at once
	b := told(t, n)
	for _, stolen := range []bool{false, true} {
		seen := 0
		err := b.Look(t.Context(), jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}, func(jetstream.Msg, uint64) bool {
			if seen++; seen > 1 || !stolen {
				return false
			}
			other, err := b.JS().Consumer(t.Context(), jet.StreamEvents, "look-0")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := other.Fetch(1); err != nil {
				t.Fatal(err)
			}
			return false
		})
		if (err != nil) != stolen || !stolen && seen != n {
			t.Errorf("stolen %t: saw %d of %d, %v", stolen, seen, n, err)
		}
	}
}

// TestALookWaitsForAName: there are only so many, and each is free again after a look.
func TestALookWaitsForAName(t *testing.T) {
	b := told(t, 1)
	all := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	looks, end := make(chan struct{}, jet.Looks), make(chan struct{})
	done := make(chan error, jet.Looks+1)
	look := func(see func(jetstream.Msg, uint64) bool) { done <- b.Look(t.Context(), all, see) }
	for range jet.Looks {
		go look(func(jetstream.Msg, uint64) bool {
			looks <- struct{}{}
			<-end
			return true
		})
	}
	for range jet.Looks {
		<-looks
	}
	free := false
	go look(func(jetstream.Msg, uint64) bool { free = true; return true })
	select {
	case err := <-done:
		t.Errorf("one more look than there are names: %v", err)
	default:
	}
	close(end)
	for range jet.Looks + 1 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if !free {
		t.Error("nothing was seen")
	}
}
