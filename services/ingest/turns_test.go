package ingest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// slow is a stage behind ingest that does one document after the other, and one only when it is told to.
type slow struct {
	t    *testing.T
	step chan struct{}

	mu   sync.Mutex
	done []string // keys, in order
}

func behind(b *bench) *slow {
	b.t.Helper()
	s := &slow{t: b.t.(*testing.T), step: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- jet.Run(ctx, b.broker, jet.Loop{Stage: stage.Validator, Subject: event.SubjectIngested, Concurrency: 1, Log: b.service().log},
			func(ctx context.Context, d stage.Delivery[event.Ingested]) ([]stage.Output, error) {
				select {
				case <-s.step:
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				s.done = append(s.done, d.Body.Source.Key)
				return nil, nil
			})
	}()
	b.t.Cleanup(func() {
		close(s.step) // whoever waits for it may go
		cancel()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
	})
	return s
}

func (s *slow) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.done...)
}

// steps lets n documents through.
func (s *slow) steps(n int) {
	s.t.Helper()
	for range n {
		s.step <- struct{}{}
	}
}

// crowd drops many documents of one source, and waits until as many of them as may are behind ingest.
func crowd(b *bench, n int) {
	b.t.Helper()
	for i := range n {
		b.put(fmt.Sprintf("crowd/%03d.pdf", i), fmt.Sprintf("crowd %d", i), nil)
	}
	pipelinetest.Eventually(b.t, "the queue behind ingest is as long as it gets", func() bool { return len(b.ingested()) >= b.config.Ahead && b.dropped() > 0 })
}

// TestSourcesTakeTurns: whoever comes after a crowd of another source's documents does not wait until they are done.
func TestSourcesTakeTurns(t *testing.T) {
	t.Parallel()
	if event.SubjectDroppedFrom("x", "crowd/1") == event.SubjectDroppedFrom("x", "late/1") {
		t.Fatal("both sources share a lane: the test needs other names")
	}
	const many, few = 80, 10
	b := newBench(t).announcing()
	b.config.Directories, b.config.Ahead = nil, 8
	b.start()
	s := behind(b)
	crowd(b, many)
	for i := range few {
		b.put(fmt.Sprintf("late/%d.pdf", i), fmt.Sprintf("late %d", i), nil)
	}
	late := func() (n int) {
		for _, key := range s.keys() {
			if strings.HasPrefix(key, "late/") {
				n++
			}
		}
		return n
	}
	for late() < few {
		s.steps(1)
		if len(s.keys()) > many*2/3 {
			t.Fatalf("of %d documents %d were late ones', want all %d: %v", len(s.keys()), late(), few, s.keys())
		}
	}
	t.Logf("the late ones were done after %d documents", len(s.keys()))
}

// TestTheQueueBehindStaysShort: what ingest hands on keeps pace with the stages behind, and nothing is forgotten.
func TestTheQueueBehindStaysShort(t *testing.T) {
	t.Parallel()
	const many = 40
	b := newBench(t).announcing()
	b.config.Directories, b.config.Ahead = nil, 8
	b.start()
	s := behind(b)
	crowd(b, many)
	most := 0
	for range many {
		most = max(most, len(b.ingested()))
		s.steps(1)
	}
	// Each asker may have one message beyond what the gate counted.
	if limit := b.config.Ahead + 2 + 2*b.config.Concurrency; most > limit {
		t.Errorf("%d documents were behind ingest, want %d at most", most, limit)
	}
	pipelinetest.Eventually(t, "all are done", func() bool { return len(s.keys()) == many })
}

// TestUrgentDropsTakeNoTurns: one that says so in its metadata goes before all others.
func TestUrgentDropsTakeNoTurns(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	b.config.Directories, b.config.Ahead = nil, 8
	b.start()
	behind(b)
	crowd(b, 30)
	b.put("crowd/urgent.pdf", "urgent", map[string]string{"pdfmill-priority": "interactive"})
	pipelinetest.Eventually(t, "the urgent one is behind ingest, though nothing goes on there", func() bool {
		for _, m := range b.ingested() {
			if m.Source.Key == "crowd/urgent.pdf" {
				return true
			}
		}
		return false
	})
}

// TestUnsortedHintsAreSorted: MinIO knows one subject.
func TestUnsortedHintsAreSorted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.Directories, b.config.ScanInterval = nil, 1<<62 // nobody lists again
	s, _ := b.start()
	pipelinetest.Eventually(t, "the first listing is over", func() bool { return s.scans.Load() == 1 })
	b.put("told.pdf", "x", nil)
	out := b.hint("told.pdf").Output()
	out.Subject = event.SubjectDropped
	if err := b.broker.Publish(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	pipelinetest.Eventually(t, "it is ingested", func() bool { return len(b.ingested()) == 1 })
}

// TestTurnsCanBeWeighed: a source with more turns has more askers.
func TestTurnsCanBeWeighed(t *testing.T) {
	b := newBench(t)
	b.config.Turns = map[string]int{"inbox/vip": 3, "inbox/vip2/": 2, "root": 4}
	s := b.service()
	want := map[string]int{}
	for source, n := range map[string]int{"inbox/vip": 3, "inbox/vip2": 2} {
		bucket, folder, _ := strings.Cut(source, "/")
		want[event.SubjectDroppedFrom(bucket, folder+"/x.pdf")] = n
	}
	want[event.SubjectDroppedFrom("root", "x.pdf")] = 4
	if len(want) != 3 {
		t.Fatal("sources share a lane: the test needs other names")
	}
	for _, lane := range s.lanes(nil) {
		if n := max(want[lane.Subject], 1) * b.config.Concurrency; lane.Concurrency != n {
			t.Errorf("%s has %d askers, want %d", lane.Subject, lane.Concurrency, n)
		}
	}
}
