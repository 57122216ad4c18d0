package ingest

import (
	"context"
	"iter"
	"sync/atomic"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// lister counts listings.
type lister struct {
	object.Store
	lists atomic.Int64
}

func (l *lister) List(ctx context.Context, bucket, prefix string) iter.Seq2[object.Info, error] {
	l.lists.Add(1)
	return l.Store.List(ctx, bucket, prefix)
}

// TestReplicasShareTheListing: one of three lists; when it ends another goes on, and finds what was dropped meanwhile.
func TestReplicasShareTheListing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.Directories = nil // no folder, and nobody announces
	counts, stops := make([]*lister, 3), make([]func(), 3)
	for i := range counts {
		counts[i] = &lister{Store: store}
		b.store = counts[i]
		_, stops[i] = b.start()
	}
	listing := func() (who, n int) {
		for i, c := range counts {
			if stops[i] != nil && c.lists.Load() > 0 {
				who, n = i, n+1
			}
		}
		return who, n
	}
	b.put("first.pdf", "1", nil)
	pipelinetest.Eventually(t, "the first is taken", func() bool { return len(b.ingested()) == 1 })
	first, n := listing()
	if n != 1 {
		t.Fatalf("%d of 3 list", n)
	}
	stops[first]()
	stops[first] = nil
	b.put("second.pdf", "2", nil)
	pipelinetest.Eventually(t, "the second is taken", func() bool { return len(b.ingested()) == 2 })
	if _, n := listing(); n != 1 {
		t.Errorf("%d of 2 list", n)
	}
}

// TestInboxIsAPrefix: what lies beside it is neither listed nor taken when somebody tells of it.
func TestInboxIsAPrefix(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	b.config.Directories, b.config.Inbox = nil, []string{b.bucket + "/in/"}
	b.put("in/a.pdf", "1", nil)
	b.put("out/b.pdf", "2", nil)
	b.start()
	pipelinetest.Eventually(t, "what lies in the inbox is taken", func() bool { return len(b.ingested()) == 1 })
	if err := b.handle(b.service(), b.hint("out/b.pdf")); err == nil {
		t.Error("took what lies beside the inbox")
	}
	if got := b.ingested(); len(got) != 1 || got[0].Source.Key != "in/a.pdf" {
		t.Errorf("took %v", got)
	}
}
