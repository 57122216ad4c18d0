package jet_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
)

// holder is a process that wants a lease.
type holder struct {
	stop context.CancelFunc
}

// TestLeaseHasOneHolder: of two one holds it; when that one dies the other gets it soon; never both.
func TestLeaseHasOneHolder(t *testing.T) {
	t.Parallel() // it mostly waits
	_, url := pipelinetest.NATS(t)
	var holding, most atomic.Int32
	var group sync.WaitGroup
	defer group.Wait()
	taken := make(chan *holder, 16)
	var died atomic.Bool // the first holder's connection is cut, as if it had died
	for range 2 {
		b := pipelinetest.Connect(t, url)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h := &holder{stop: func() {
			if died.CompareAndSwap(false, true) {
				b.Close()
			}
			cancel()
		}}
		group.Go(func() {
			err := b.Hold(ctx, "listing", telemetry.Discard(), func(held context.Context) {
				n := holding.Add(1)
				most.Store(max(most.Load(), n))
				taken <- h
				<-held.Done()
				holding.Add(-1)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range 2 {
		pipelinetest.Receive(t, "somebody takes the lease", taken).stop()
	}
	if most.Load() != 1 {
		t.Errorf("%d held it at once", most.Load())
	}
}

// TestLeaseIsNotThere: without the topology there is none, and the error says what to do.
func TestLeaseIsNotThere(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	if err := b.JS().DeleteKeyValue(t.Context(), jet.KVLeases); err != nil {
		t.Fatal(err)
	}
	if err := b.Hold(t.Context(), "x", telemetry.Discard(), func(context.Context) {}); err == nil {
		t.Error("no error")
	}
}

// TestAlone: it waits for the one before, its own is seen while it lasts, and the error is handed on.
func TestAlone(t *testing.T) {
	t.Parallel() // it mostly waits
	b, _ := pipelinetest.NATS(t)
	held := func() bool {
		held, err := b.Held(t.Context(), "sources")
		if err != nil {
			t.Error(err)
		}
		return held
	}
	want := errors.New("so it goes")
	var inside atomic.Int32
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			err := b.Alone(t.Context(), "sources", func(_ context.Context, mine func() bool) error {
				if inside.Add(1) != 1 || !mine() || !held() {
					t.Error("another one is there, or might be")
				}
				inside.Add(-1)
				return want
			})
			if !errors.Is(err, want) {
				t.Errorf("error %v", err)
			}
		})
	}
	group.Wait()
	if held() {
		t.Error("the lease is not given back")
	}
}
