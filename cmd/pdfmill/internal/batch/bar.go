package batch

import (
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Bar shows a run on a terminal: two bars, for documents and for pages, and above them a line for each document that needs attention.
type Bar struct {
	container *mpb.Progress
	documents *mpb.Bar
	pages     *mpb.Bar
}

// NewBar starts bars for so many documents on w, which is a terminal.
func NewBar(w io.Writer, documents int) *Bar {
	container := mpb.New(mpb.WithOutput(w), mpb.WithWidth(78), mpb.WithRefreshRate(120*time.Millisecond))
	b := &Bar{container: container}
	started := time.Now()
	b.documents = container.AddBar(int64(documents),
		mpb.PrependDecorators(decor.Name("documents ", decor.WCSyncSpaceR), decor.CountersNoUnit("%d/%d", decor.WCSyncSpace)),
		mpb.AppendDecorators(decor.OnComplete(decor.AverageETA(decor.ET_STYLE_MMSS, decor.WCSyncSpace), " done")))
	b.pages = container.AddBar(0,
		mpb.PrependDecorators(decor.Name("pages ", decor.WCSyncSpaceR), decor.CountersNoUnit("%d/%d", decor.WCSyncSpace)),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
			return fmt.Sprintf("%.1f pages/s", float64(s.Current)/max(time.Since(started).Seconds(), 0.001))
		}, decor.WCSyncSpace)))
	return b
}

// Document implements Progress.
func (b *Bar) Document(d Document) {
	if d.Outcome == OutcomeFailed || len(d.FailedPages) > 0 || len(d.Warnings) > 0 {
		_, _ = fmt.Fprintln(b.container, Line(d)) // a terminal that is gone hears nothing
	}
	b.documents.Increment()
}

// Pages implements Progress.
func (b *Bar) Pages(done, known int) {
	b.pages.SetTotal(int64(known), false)
	b.pages.SetCurrent(int64(done))
}

// Close implements Progress.
func (b *Bar) Close() {
	b.documents.Abort(false)
	b.pages.Abort(false)
	b.container.Wait()
}
