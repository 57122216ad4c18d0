package publisher

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// TestAnEventAlwaysFits cuts what does not fit, in the order that the description promises.
func TestAnEventAlwaysFits(t *testing.T) {
	const room = 1<<20 - headroom
	m := rendered(newJob(t, 1), span(1, 1), 5000)
	r := printed{revision: 1, manifest: Manifest{Pages: 5000, Images: []event.Image{}}}
	size := func() (event.Converted, int) {
		e := converted(m, r, bucket, room, time.Now(), time.Now()).Body.(event.Converted)
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return e, len(data)
	}
	r.inline = strings.Repeat("a", event.MaxInline)
	if e, n := size(); n > room || e.Markdown.Inline != r.inline {
		t.Errorf("plain text of 512 KiB is not inline in %d bytes", n)
	}
	r.inline = strings.Repeat("<", event.MaxInline) // six bytes each in JSON
	if e, n := size(); n > room || e.Markdown.Inline != "" {
		t.Errorf("%d bytes with %d inline", n, len(e.Markdown.Inline))
	}
	for i := range 5000 {
		r.manifest.Images = append(r.manifest.Images, event.Image{Key: m.RevisionPrefix(1) + fmt.Sprintf("images/page-%04d-01.png", i+1), MediaType: "image/png", Page: i + 1})
		r.pages = append(r.pages, Page{Page: i + 1, Status: event.PageDegraded, Warnings: []string{"degraded"}})
	}
	if e, n := size(); n > room || len(e.Images) != 5000 || len(e.Warnings) != 5000 {
		t.Errorf("%d bytes with %d images, %d warnings", n, len(e.Images), len(e.Warnings))
	}
	for i := range r.pages[:4000] {
		r.pages[i] = Page{Page: i + 1, Status: event.PageFailed, Class: failure.OOM, Message: strings.Repeat("x", 100)}
	}
	if e, n := size(); n > room || len(e.Images) != 0 || len(e.FailedPages) != 4000 || e.FailedPages[0].Message == "" {
		t.Errorf("%d bytes with %d images, %d failed pages", n, len(e.Images), len(e.FailedPages))
	}
	for i := range r.pages[:4000] {
		r.pages[i].Message = strings.Repeat("x", 300)
	}
	if e, n := size(); n > room || len(e.FailedPages) != 4000 || e.FailedPages[0].Message != "" {
		t.Errorf("%d bytes with %d failed pages", n, len(e.FailedPages))
	}
	f := failed(m, r, nil, room, time.Now()).Body.(event.Failed)
	if data, err := json.Marshal(f); err != nil || len(data) > room || len(f.FailedPages) != 4000 {
		t.Errorf("pdf.failed has %d bytes, %v", len(data), err)
	}
}
