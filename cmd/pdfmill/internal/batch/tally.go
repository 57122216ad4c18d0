package batch

import (
	"sync"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Tally counts pages as the stages of this process pass them on. It is a jet.Observer.
type Tally struct {
	mu          sync.Mutex
	known, done int
}

// Observe implements jet.Observer.
func (t *Tally) Observe(o jet.Observation) {
	if o.Outcome != jet.Done && o.Outcome != jet.Died {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, out := range o.Outputs {
		body, isRange := out.Body.(event.Range)
		switch {
		case !isRange:
		case o.Stage == stage.Validator:
			t.known += body.Range.Len()
		default: // a part of a range that is to be tried again: not done after all
			t.done -= body.Range.Len()
		}
	}
	if o.Stage == stage.GPURunner && o.Range != nil {
		t.done += o.Range.Len()
	}
}

// Pages returns how many pages are done and how many are known of.
func (t *Tally) Pages() (done, known int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done, t.known
}
