package ingest

import (
	"context"
	"fmt"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// TestWhoListsKnowsWhatWasTaken: of three replicas the one that lists reads what was taken, the others nothing; when it ends, another one does.
func TestWhoListsKnowsWhatWasTaken(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	b.config.Directories = nil
	const n = 5
	services, stops := make([]*Service, 3), make([]func(), 3)
	for i := range services {
		services[i], stops[i] = b.start()
	}
	for i := range n {
		b.put(fmt.Sprint(i, ".pdf"), fmt.Sprint(i), nil)
	}
	stream, err := b.broker.JS().Stream(t.Context(), "KV_"+jet.KVSources)
	if err != nil {
		t.Fatal(err)
	}
	for left := len(services); left > 0; left-- {
		who := -1
		pipelinetest.Eventually(t, "one of them knows all", func() bool {
			for i, s := range services {
				if stops[i] != nil && s.known.size() == n && s.scans.Load() > 0 {
					who = i
				}
			}
			return who >= 0
		})
		for i, s := range services {
			if known := s.known.size(); i != who && known > 0 {
				t.Errorf("with %d replicas one that does not list knows %d objects", left, known)
			}
		}
		info, err := stream.Info(t.Context())
		if err != nil || info.State.Consumers != 1 {
			t.Errorf("%d of %d replicas read what was taken, %v", info.State.Consumers, left, err)
		}
		stops[who]()
		stops[who] = nil
		if known := services[who].known.size(); known > 0 {
			t.Errorf("one that has ended knows %d objects", known)
		}
	}
	if all := b.ingested(); len(all) != n {
		t.Errorf("%d documents were ingested, want %d: %s", len(all), n, keys(all))
	}
}

// TestWhatWasTakenIsForgottenWithTheLease, and read again with the next: also what was taken meanwhile.
func TestWhatWasTakenIsForgottenWithTheLease(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	b.config.Directories = nil
	s, _ := b.start()
	b.put("first.pdf", "1", nil)
	pipelinetest.Eventually(t, "the first is known", func() bool { return len(b.ingested()) == 1 && s.known.size() == 1 && s.scans.Load() > 0 })
	leases, err := b.broker.JS().KeyValue(t.Context(), jet.KVLeases)
	if err != nil {
		t.Fatal(err)
	}
	lease := inbox{bucket: b.bucket}.lease()
	if _, err := leases.PutString(t.Context(), lease, "another"); err != nil {
		t.Fatal(err)
	}
	pipelinetest.Eventually(t, "nothing is known any more", func() bool { return s.known.size() == 0 })
	b.put("second.pdf", "2", nil)
	pipelinetest.Eventually(t, "a drop that is told of is taken", func() bool { return len(b.ingested()) == 2 })
	b.write("third.pdf", "3") // nobody tells of it
	if err := leases.Delete(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	pipelinetest.Eventually(t, "all is known again", func() bool { return s.known.size() == 3 })
	b.await(s, 3)
}

// unread is what was taken, which takes for ever to be read.
type unread struct{ Sources }

func (unread) Follow(ctx context.Context, _ func(), _ func(jet.Taken)) error {
	<-ctx.Done()
	return nil
}

// TestReadyBeforeWhatWasTakenIsRead: what is told of is taken meanwhile; only looking through the inbox waits.
func TestReadyBeforeWhatWasTakenIsRead(t *testing.T) {
	t.Parallel()
	for name, folder := range map[string]bool{"a folder": true, "a bucket": false} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).announcing()
			if !folder {
				b.config.Directories = nil
			}
			s := b.service()
			s.sources = unread{s.sources}
			b.run(s)
			b.put("a.pdf", "1", nil)
			pipelinetest.Eventually(t, "the drop is taken", func() bool { return len(b.ingested()) == 1 })
			if scans, sent := s.scans.Load(), s.hints.sent.Load(); scans != 0 || sent != 0 {
				t.Errorf("%d passes, %d hints", scans, sent)
			}
		})
	}
}
