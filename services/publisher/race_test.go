package publisher

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
)

// TestTwoServicesManyDocuments runs two publishers against one broker: every document ends once, in one revision.
func TestTwoServicesManyDocuments(t *testing.T) {
	const documents, ranges = 60, 4
	b := newBench(t, Config{Concurrency: 8, Incomplete: IncompleteConverted})
	other, err := New(b.config, lifecycle.Platform{Broker: pipelinetest.Connect(t, b.url), Store: s3, Bucket: bucket, Log: telemetry.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	jobs := map[string]job.Job{}
	var messages []stage.Output
	for n := range documents {
		j := newJob(t, n)
		jobs[j.Drop] = j
		for r := range ranges {
			s := span(r*2+1, r*2+2)
			m := rendered(j, s, ranges*2)
			switch (n + r) % 9 {
			case 0:
				m = withFailed(m, failure.Crash)
			case 1:
				degraded(t, j, s, "plain")
			default:
				good(t, j, s, "fine")
			}
			messages = append(messages, m.Output())
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(messages), func(i, k int) { messages[i], messages[k] = messages[k], messages[i] })

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- lifecycle.Run(ctx, telemetry.Discard(), b.Service, other) }()
	if err := b.platform.Broker.Publish(ctx, messages...); err != nil {
		t.Fatal(err)
	}
	queue, err := b.platform.Broker.JS().Stream(ctx, jet.StreamJobs)
	if err != nil {
		t.Fatal(err)
	}
	pipelinetest.Eventually(t, "an empty queue", func() bool {
		info, err := queue.Info(ctx)
		return err == nil && info.State.Msgs == 0
	})
	cancel()
	if err := pipelinetest.Receive(t, "the services' end", done); err != nil {
		t.Fatal(err)
	}

	all := errors.New("all seen")
	seen := map[string]bool{}
	events, err := b.platform.Broker.JS().Stream(t.Context(), jet.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	if n := events.CachedInfo().State.Msgs; n != documents {
		t.Fatalf("%d events for %d documents", n, documents)
	}
	err = b.platform.Broker.Watch(t.Context(), true, func() {}, func(a jet.Announcement) error {
		e := a.Converted
		if e == nil || seen[e.Drop] || a.ID != event.TerminalID(jobs[e.Drop]) || e.Revision != 1 || e.ConvertedPages+len(e.FailedPages) != ranges*2 {
			return fmt.Errorf("event %s %s", a.ID, a.Raw)
		}
		if text := read(t, e.Markdown.Key); hash(text) != e.Markdown.SHA256 || text != e.Markdown.Inline {
			return fmt.Errorf("document of %s is not what its event says", e.Job)
		}
		if got := revisions(t, b, jobs[e.Drop]); !slices.Equal(got, []int{1}) {
			return fmt.Errorf("job %s has revisions %v", e.Job, got)
		}
		if seen[e.Drop] = true; len(seen) == documents {
			return all
		}
		return nil
	})
	if !errors.Is(err, all) {
		t.Fatal(err)
	}
}
