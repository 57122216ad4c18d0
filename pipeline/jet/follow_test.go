package jet_test

import (
	"context"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// TestWhatWasTakenIsReadInItsOrder: asked for the last entry of each key, a server with a million of them answers nobody for seconds, and never when several ask.
func TestWhatWasTakenIsReadInItsOrder(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	sources := jet.NewSources(b)
	put := func(key string, size int64) {
		t.Helper()
		if err := sources.Put(t.Context(), jet.Taken{Source: document.Source{Bucket: "inbox", Key: key, Size: size}}); err != nil {
			t.Fatal(err)
		}
	}
	put("a.pdf", 1)
	put("b.pdf", 1)
	put("a.pdf", 2)
	ctx, end := context.WithCancel(t.Context())
	seen, known := make(chan jet.Taken, 9), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		if err := sources.Follow(ctx, func() { close(known) }, func(taken jet.Taken) { seen <- taken }); err != nil {
			t.Error(err)
		}
	})
	pipelinetest.Receive(t, "all that was there", known)
	put("c.pdf", 1)
	for _, want := range []document.Source{{Key: "b.pdf", Size: 1}, {Key: "a.pdf", Size: 2}, {Key: "c.pdf", Size: 1}} {
		if got := pipelinetest.Receive(t, want.Key, seen).Source; got.Key != want.Key || got.Size != want.Size {
			t.Errorf("%s of %d bytes, want %s of %d", got.Key, got.Size, want.Key, want.Size)
		}
	}
	stream, err := b.JS().Stream(t.Context(), "KV_"+jet.KVSources)
	if err != nil {
		t.Fatal(err)
	}
	for c := range stream.ListConsumers(t.Context()).Info() {
		if c.Config.DeliverPolicy != jetstream.DeliverAllPolicy {
			t.Errorf("asked for %s", c.Config.DeliverPolicy)
		}
	}
	end()
	group.Wait()
}
