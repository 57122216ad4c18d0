package publisher

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

func TestRedeliveryTellsTheSame(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	good(t, j, span(1, 2), "a")
	m := rendered(j, span(1, 2), 2)
	first := convertedOf(t, b.handleOne(t, m))
	b.store.requests.Store(0)
	second := convertedOf(t, b.handleOne(t, m))
	if n := b.store.requests.Load(); n > 3 {
		t.Errorf("%d requests to tell it again, want at most 3", n)
	}
	if first.Revision != 1 || second.Revision != 1 || first.Markdown != second.Markdown || second.Markdown.Inline == "" {
		t.Errorf("%+v, then %+v", first, second)
	}
	// A result that comes in after the end was told does not change what was told.
	good(t, j, span(1, 1), "late and narrow")
	good(t, j, span(1, 3), "late and wide")
	if third := convertedOf(t, b.handleOne(t, m)); third.Revision != 1 || third.Markdown != first.Markdown {
		t.Errorf("late: %+v", third)
	}
	if got := revisions(t, b, j); !slices.Equal(got, []int{1}) {
		t.Errorf("revisions %v", got)
	}
}

func TestDyingAnywhereLeavesOneRevision(t *testing.T) {
	for n, refused := range []string{"r1/manifest.json", "r1/images/page-0001-01.png", "r1/document.md"} {
		t.Run(refused, func(t *testing.T) {
			b, j := newBench(t, usual), newJob(t, n)
			r := resultOf(span(1, 1), "a")
			r.Images = []event.Image{{Key: "images/page-0001-01.png", Bytes: 3, MediaType: "image/png", Page: 1}}
			put(t, j.RangePrefix(span(1, 1)), r)
			m := rendered(j, span(1, 1), 1)
			b.store.refuse = func(key string) bool { return strings.HasSuffix(key, refused) }
			if out, err := b.handle(t.Context(), stage.Delivery[event.Rendered]{Body: m}); failure.ClassOf(err, "") != failure.StoreUnavailable {
				t.Fatalf("%+v, %v", out, err)
			}
			b.store.refuse = nil
			e := convertedOf(t, b.handleOne(t, m))
			if e.Revision != 1 || read(t, e.Markdown.Key) != e.Markdown.Inline || len(read(t, e.Images[0].Key)) != 3 {
				t.Errorf("event %+v", e)
			}
			if got := revisions(t, b, j); !slices.Equal(got, []int{1}) {
				t.Errorf("revisions %v", got)
			}
		})
	}
}

// A claim whose pass has seen more results since is finished as it was planned: its manifest is there already.
func TestAHalfWrittenRevisionIsFinishedAsPlanned(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	good(t, j, span(1, 1), "planned")
	m := withFailed(rendered(j, span(2, 2), 2), failure.OOM)
	b.store.refuse = func(key string) bool { return strings.HasSuffix(key, "document.md") }
	if _, err := b.handle(t.Context(), stage.Delivery[event.Rendered]{Body: m}); err == nil {
		t.Fatal("no error")
	}
	b.store.refuse = nil
	good(t, j, span(1, 2), "late")
	e := convertedOf(t, b.handleOne(t, m))
	if e.Revision != 1 || e.Complete || !strings.Contains(e.Markdown.Inline, "Page 1 planned") || !strings.Contains(e.Markdown.Inline, "Page 2 is missing") {
		t.Errorf("event %+v", e)
	}
}

func TestReplayMakesANewRevisionAndCachedDropsShareIt(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	good(t, j, span(1, 2), "a")
	first := convertedOf(t, b.handleOne(t, withFailed(rendered(j, span(3, 3), 3), failure.OOM)))
	old := read(t, first.Markdown.Key)

	j.Pass = 1
	m := rendered(j, span(3, 3), 3)
	if out := b.handleOne(t, m); out != nil {
		t.Fatalf("the failure of another pass counts: %+v", out)
	}
	good(t, j, span(3, 3), "a")
	second := convertedOf(t, b.handleOne(t, m))
	if second.Revision != 2 || !second.Complete || second.Pass != 1 || read(t, first.Markdown.Key) != old || first.Revision != 1 {
		t.Errorf("%+v, then %+v", first, second)
	}

	other := job.New(document.Source{Bucket: "inbox", Key: "the-same.pdf", SHA256: j.Source.SHA256, ModTime: j.Source.ModTime}, j.Options, "other", j.AcceptedAt)
	if other.ID != j.ID || other.Drop == j.Drop {
		t.Fatalf("%+v and %+v", j, other)
	}
	again := rendered(other, span(0, 0), 3)
	again.Cached = true
	b.store.requests.Store(0)
	out := b.handleOne(t, again)
	e := convertedOf(t, out)
	if e.Revision != 2 || !e.Cached || e.Source.Key != "the-same.pdf" || e.CorrelationID != "other" || e.Markdown != second.Markdown || e.Timings.Convert != 0 {
		t.Errorf("cached: %+v", e)
	}
	if out[0].ID == event.TerminalID(j) {
		t.Error("two drops have one ce-id")
	}
	if n := b.store.requests.Load(); n > 3 {
		t.Errorf("%d requests for what was converted before, want at most 3", n)
	}
	if got := revisions(t, b, j); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("revisions %v", got)
	}
}

func TestARevisionOfAnotherPassIsNotOverwritten(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	good(t, j, span(1, 1), "a")
	foreign := Manifest{Format: 1, Job: j.ID, Drop: "somebody", Inputs: "other", Revision: 1}
	// The claim comes in between listing and putting: the listing that this pass works with does not show it.
	h, err := b.list(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := object.PutJSON(t.Context(), s3, bucket, j.RevisionPrefix(1)+manifestName, foreign, object.Put{}); err != nil {
		t.Fatal(err)
	}
	m := rendered(j, span(1, 1), 1)
	p := &press{store: s3, bucket: bucket, message: m, have: h}
	defer p.close()
	r, err := p.print(t.Context(), choose(m.Want, h, nil, LayoutOwn), true)
	if err != nil || r.revision != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	var kept Manifest
	if err := json.Unmarshal([]byte(read(t, j.RevisionPrefix(1)+manifestName)), &kept); err != nil || kept.Inputs != "other" {
		t.Errorf("revision 1 is now %+v, %v", kept, err)
	}
}

func TestTwoAtOnceMakeOneRevision(t *testing.T) {
	b := newBench(t, usual)
	for n := range 20 {
		j := newJob(t, n)
		good(t, j, span(1, 1), "a")
		good(t, j, span(2, 2), "a")
		outs := make([][]stage.Output, 4)
		var group sync.WaitGroup
		for i := range outs {
			group.Go(func() {
				var err error
				if outs[i], err = b.handle(t.Context(), stage.Delivery[event.Rendered]{Body: rendered(j, span(1+i%2, 1+i%2), 2)}); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		for _, out := range outs {
			if e := convertedOf(t, out); e.Revision != 1 || out[0].ID != event.TerminalID(j) || e.Markdown != convertedOf(t, outs[0]).Markdown || read(t, e.Markdown.Key) != e.Markdown.Inline {
				t.Fatalf("event %+v", e)
			}
		}
	}
}

func TestADamagedDocumentIsWrittenAgain(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	good(t, j, span(1, 1), "a")
	m := rendered(j, span(1, 1), 1)
	e := convertedOf(t, b.handleOne(t, m))
	if _, err := object.PutBytes(t.Context(), s3, bucket, e.Markdown.Key, []byte(strings.Repeat("x", int(e.Markdown.Bytes))), object.Put{}); err != nil {
		t.Fatal(err)
	}
	if again := convertedOf(t, b.handleOne(t, m)); again.Markdown != e.Markdown || read(t, e.Markdown.Key) != e.Markdown.Inline {
		t.Errorf("event %+v", again)
	}
}

// What changes between the listing and the reading is not joined: the message comes again and sees it as it is then.
func TestInputsThatChangeMeanwhileAreNotJoined(t *testing.T) {
	b := newBench(t, usual)
	j := newJob(t, 1)
	good(t, j, span(1, 1), "a")
	h, err := b.list(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	good(t, j, span(1, 1), "b")
	m := rendered(j, span(1, 1), 1)
	if doc, err := join(t.Context(), s3, bucket, choose(m.Want, h, nil, LayoutOwn), m); err == nil {
		doc.close()
		t.Error("a range that was written again is joined as the one chosen")
	}

	j = newJob(t, 2)
	r := resultOf(span(1, 1), "a")
	r.Images = []event.Image{{Key: "images/page-0001-01.png", Bytes: 3, Page: 1}}
	put(t, j.RangePrefix(span(1, 1)), r)
	if _, err := object.PutBytes(t.Context(), s3, bucket, j.RangePrefix(span(1, 1))+"images/page-0001-01.png", []byte("longer"), object.Put{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.handle(t.Context(), stage.Delivery[event.Rendered]{Body: rendered(j, span(1, 1), 1)}); err == nil {
		t.Error("half of an image is copied")
	}
}

func TestTheNarrowerStoryOfALostPageCounts(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	page := withFailed(rendered(j, span(2, 2), 3), failure.OOM)
	page.Attempts = 7
	b.handleOne(t, page)
	e := failedOf(t, b.handleOne(t, withFailed(rendered(j, span(1, 3), 3), failure.CrashLoop)))
	if e.FailedPages[0].Class != failure.CrashLoop || e.FailedPages[1].Class != failure.OOM || e.Attempts != 7 {
		t.Errorf("event %+v", e)
	}
}
