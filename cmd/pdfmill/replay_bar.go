package main

import (
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
)

// replayBar shows on a terminal how far a replay has come. A nil one shows nothing.
type replayBar struct {
	container *mpb.Progress
	bar       *mpb.Bar
}

// newReplayBar shows nothing until the number of documents is known.
func newReplayBar(w io.Writer) *replayBar {
	return &replayBar{container: mpb.New(mpb.WithOutput(w), mpb.WithWidth(78), mpb.WithRefreshRate(120*time.Millisecond))}
}

// over has the line about a document written above the bar, or to out without one, and moves on.
func (b *replayBar) over(s deadletter.Step, tell func(io.Writer), out io.Writer) {
	if b == nil {
		tell(out)
		return
	}
	if b.bar == nil {
		b.bar = b.container.AddBar(int64(s.Total),
			mpb.PrependDecorators(decor.Name("replayed ", decor.WCSyncSpaceR), decor.CountersNoUnit("%d/%d", decor.WCSyncSpace)),
			mpb.AppendDecorators(decor.OnComplete(decor.AverageETA(decor.ET_STYLE_MMSS, decor.WCSyncSpace), " done")))
	}
	tell(b.container)
	b.bar.SetCurrent(int64(s.Done))
}

func (b *replayBar) close() {
	if b == nil {
		return
	}
	if b.bar != nil {
		b.bar.Abort(false)
	}
	b.container.Wait()
}
