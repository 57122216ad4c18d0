package jet

import (
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Outcomes of one handling of a message.
const (
	Started = "started"
	Done    = "done"
	Retried = "retried"
	Died    = "dead"
	// GivenBack says that the message goes back to the queue through no fault of its own: the process stops, or the broker is away.
	GivenBack = "given-back"
	// Skipped says that nothing was to be done: the job has ended, or nobody wants it any more.
	Skipped = "skipped"
)

// Observation is what the loop tells about one message.
type Observation struct {
	Stage   string
	Outcome string
	Work    job.Job
	Range   *pages.Range
	Attempt int
	Class   failure.Class // of a retry or death
	Err     error
	Delay   time.Duration // before the next attempt
	Seconds float64       // spent in the handler
	Stored  time.Time     // when the message came into the queue
	Outputs []stage.Output
}

// Observer hears of every handled message; it must not block.
type Observer interface{ Observe(Observation) }

// Observers passes observations on to several.
type Observers []Observer

// Observe implements Observer.
func (all Observers) Observe(o Observation) {
	for _, one := range all {
		one.Observe(o)
	}
}
