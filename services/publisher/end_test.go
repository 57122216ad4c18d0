package publisher

import (
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// TestAFailedPassStaysFailed: a page that comes through after the pass was told to have failed is for the next pass.
func TestAFailedPassStaysFailed(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	first := b.handleOne(t, withFailed(rendered(j, span(1, 2), 2), failure.OOM))
	told, ok := first[0].Body.(event.Failed)
	if !ok {
		t.Fatalf("output %+v", first[0])
	}
	good(t, j, span(1, 2), "late")
	again := b.handleOne(t, rendered(j, span(1, 2), 2))
	if e, ok := again[0].Body.(event.Failed); !ok || again[0].ID != first[0].ID || e.Message != told.Message || len(e.FailedPages) != 2 {
		t.Fatalf("the end was told as %+v and then as %+v", told, again[0].Body)
	}
	next := j
	next.Pass++
	if e := convertedOf(t, b.handleOne(t, rendered(next, span(1, 2), 2))); e.Revision != 1 || !e.Complete {
		t.Errorf("the next pass: %+v", e)
	}
}

// TestALaterGenerationIsTheWantedOne: an earlier result is not used by a pass that was started to make a better one, and gives way in every other.
func TestALaterGenerationIsTheWantedOne(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	good(t, j, span(1, 2), "old")
	convertedOf(t, b.handleOne(t, rendered(j, span(1, 2), 2)))
	again := j
	again.Pass, again.Generation = 1, 7
	if out := b.handleOne(t, rendered(again, span(1, 2), 2)); out != nil {
		t.Fatalf("the old result was used: %+v", out)
	}
	good(t, again, span(1, 1), "new")
	good(t, again, span(2, 2), "new")
	e := convertedOf(t, b.handleOne(t, rendered(again, span(2, 2), 2)))
	want := "<!-- page 1 -->\n\n# Page 1 new\n\n<!-- page 2 -->\n\n# Page 2 new\n"
	if e.Revision != 2 || e.Markdown.Inline != want {
		t.Errorf("revision %d: %q", e.Revision, e.Markdown.Inline)
	}
	other := j
	other.Drop = "0123456789abcdef0123456789abcdef"
	if e := convertedOf(t, b.handleOne(t, rendered(other, span(1, 2), 2))); e.Revision != 2 {
		t.Errorf("another drop got revision %d, want the latest", e.Revision)
	}
}
