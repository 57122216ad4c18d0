// Package stage says what a stage of the pipeline is: a handler that turns one message into the messages that follow, or a
// typed failure. It knows no broker: fetching, heartbeats, retries, dead letters and acks are the business of package jet.
package stage

import (
	"context"

	"github.com/pdfmill/pdfmill/pipeline/job"
)

// Names of the stages, as used in dead-letter subjects, events and metrics.
const (
	Ingest    = "ingest"
	Validator = "validator"
	GPURunner = "gpu-runner"
	Publisher = "publisher"
)

// Body is what a message carries.
type Body interface {
	// Validate reports why the body can't be worked on; such a message is dead-lettered as invalid-message.
	Validate() error
	// Work is the job the message belongs to; fields not known yet at this stage are zero.
	Work() job.Job
}

// Delivery is one message handed to a handler.
type Delivery[B Body] struct {
	ID      string // the message's own, the same whenever it comes
	Body    B
	Attempt int // 1 for the first delivery
}

// Output is a message to publish. Its ID makes it idempotent: the broker stores an ID once within its window, and everything
// downstream has the same effect when it sees an ID again.
type Output struct {
	Subject string
	ID      string
	Header  map[string]string
	Body    any
}

// Handler does the work of a stage. It must be idempotent: it may be called again for a message it has dealt with before, at any time and in
// another process at the same time. An error's failure.Class decides between retry and dead letter; one without a class counts
// as transient. Outputs are published before the message is acknowledged.
type Handler[B Body] func(ctx context.Context, d Delivery[B]) ([]Output, error)

// Known is the error of a handler that found out more about the work than its message says. Messages about one thing may differ, as when a store and a listing
// both tell of an object: what becomes of it has to have one name all the same.
type Known struct {
	Work job.Job // instead of the message body's
	ID   string  // instead of the message's own
	Err  error
}

// Error implements error.
func (k *Known) Error() string { return k.Err.Error() }

// Unwrap gives the reason.
func (k *Known) Unwrap() error { return k.Err }
