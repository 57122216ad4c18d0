package publisher

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// headroom is what an event leaves, in bytes, of the server's max_payload for its headers and for what a later version adds.
const headroom = 16 << 10

// converted is the event of a stored revision. It fits room bytes: when it does not, the inline text is left out, then the list of images,
// of warnings, and the messages of failed pages; the manifest has them all.
func converted(m event.Rendered, r printed, bucket string, room int64, started, now time.Time) stage.Output {
	man := r.manifest
	e := event.Converted{
		Job: m.Job.ID, Drop: m.Drop, Pass: m.Pass, Revision: r.revision, CorrelationID: m.CorrelationID, Tenant: m.Tenant, Source: m.Source, Options: m.Options,
		Pages: man.Pages, ConvertedPages: man.ConvertedPages, FailedPages: failedPages(r.pages), Warnings: warnings(r.pages),
		Complete: man.Complete, Cached: m.Cached, Markdown: man.Markdown, Images: man.Images,
		Manifest: event.Object{Bucket: bucket, Key: m.RevisionPrefix(r.revision) + manifestName}, Engine: man.Engine, Fidelity: fidelity(r.pages),
		Timings: man.Timings, Attempts: man.Attempts,
	}
	if m.Cached { // what an earlier drop cost is not what this one did
		e.Timings, e.Attempts = event.Timings{Validate: m.ValidateSeconds}, max(m.Attempts, 1)
	}
	e.Timings.Publish, e.Timings.Total = since(started, now), since(m.AcceptedAt, now)
	e.Markdown.Inline = r.inline
	for _, cut := range []func(){
		func() { e.Markdown.Inline = "" },
		func() { e.Images = []event.Image{} },
		func() { e.Warnings = []event.PageWarning{} },
		func() { e.FailedPages = wordless(e.FailedPages) },
	} {
		if fits(e, room) {
			break
		}
		cut()
	}
	return event.Terminal(m.Job, event.SubjectConverted, e, now)
}

// failed is the event of a document of which nothing is published. Each lost page has its dead letter already; this one points at the first.
func failed(m event.Rendered, r printed, lost map[int]lostPage, room int64, now time.Time) stage.Output {
	list := failedPages(r.pages)
	first := list[0]
	e := event.Failed{
		Job: m.Job.ID, Drop: m.Drop, Pass: m.Pass, CorrelationID: m.CorrelationID, Tenant: m.Tenant, Source: m.Source, Options: m.Options,
		Stage: stage.GPURunner, Class: first.Class, Message: explain(list, len(r.pages)), PageRange: oneRange(list), FailedPages: list,
		Attempts: attempts(m, lost), Retryable: first.Class.Retryable(),
	}
	if id := lost[first.Page].deadLetter; id != "" {
		e.DeadLetter = &event.DeadLetterRef{Stream: deadletter.Stream, ID: id}
	}
	if !fits(e, room) {
		e.FailedPages = wordless(list)
	}
	return event.Terminal(m.Job, event.SubjectFailed, e, now)
}

// explain is a sentence for a person: how many pages failed, and why.
func explain(list []event.FailedPage, wanted int) string {
	counts := map[failure.Class]int{}
	for _, p := range list {
		counts[p.Class]++
	}
	classes := slices.SortedFunc(maps.Keys(counts), func(a, b failure.Class) int {
		return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b))
	})
	reasons := make([]string, len(classes))
	for i, c := range classes {
		reasons[i] = fmt.Sprintf("%d × %s", counts[c], c)
	}
	return fmt.Sprintf("%d of %d pages could not be converted (%s); page %d: %s", len(list), wanted, strings.Join(reasons, ", "), list[0].Page, list[0].Message)
}

// oneRange is the range that failed, nil when it was more than one.
func oneRange(list []event.FailedPage) *pages.Range {
	r := pages.Range{First: list[0].Page, Last: list[len(list)-1].Page}
	if r.Len() != len(list) {
		return nil
	}
	return &r
}

// wordless is the list without its messages.
func wordless(list []event.FailedPage) []event.FailedPage {
	out := slices.Clone(list)
	for i := range out {
		out[i].Message = ""
	}
	return out
}

func fits(e any, room int64) bool {
	data, err := json.Marshal(e)
	return err != nil || int64(len(data)) <= room // what can't be marshalled is said by whoever publishes it
}

// attempts is the most that any part of the document took, as far as it is known here.
func attempts(m event.Rendered, lost map[int]lostPage) int {
	n := max(m.Attempts, 1)
	for _, p := range lost {
		n = max(n, p.attempts)
	}
	return n
}

// timings of a product. What a range waited is in its message only, so it is known of the last one.
func timings(m event.Rendered, engineSeconds float64, started, now time.Time) event.Timings {
	return event.Timings{
		Queued: m.QueuedSeconds, Validate: m.ValidateSeconds, Convert: engineSeconds, Publish: since(started, now), Total: since(m.AcceptedAt, now),
	}
}

// since is never negative: clocks of two machines differ.
func since(then, now time.Time) float64 {
	if then.IsZero() {
		return 0
	}
	return max(now.Sub(then).Seconds(), 0)
}
