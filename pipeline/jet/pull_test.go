package jet_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// TestNoMessageIsLeftOnItsWay: a message that reaches a loop as it stops is handled or given back. Left alone, it would stay away for its ack wait.
func TestNoMessageIsLeftOnItsWay(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	send := func(name string) { publish(t, b, event.Ingested{Job: testJob(name)}.Output()) }
	var handled atomic.Int32
	const rounds = 40
	for i := range rounds {
		before := handled.Load()
		stop := start(t, b, func(context.Context, stage.Delivery[event.Ingested]) ([]stage.Output, error) {
			handled.Add(1)
			return nil, nil
		}, 0)
		send(fmt.Sprint("first ", i))
		pipelinetest.Eventually(t, "the loop is at work", func() bool { return handled.Load() > before })
		var racing sync.WaitGroup
		racing.Go(func() { send(fmt.Sprint("late ", i)) })
		racing.Go(stop)
		racing.Wait()
	}
	left := 2*rounds - int(handled.Load())
	if left == 0 {
		return
	}
	consumer, err := b.JS().Consumer(t.Context(), jet.StreamJobs, stage.Validator)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(left, jetstream.FetchMaxWait(jet.AckWait/3))
	if err != nil {
		t.Fatal(err)
	}
	for range batch.Messages() {
		left--
	}
	if left != 0 {
		t.Fatalf("%d messages are neither handled nor back in the queue", left)
	}
}
