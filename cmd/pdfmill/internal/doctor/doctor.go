// Package doctor checks that a machine has what pdfmill needs, and says what to do where it has not.
package doctor

import (
	"context"
	"time"
)

// Outcomes of a check.
const (
	OK   = "ok"
	Warn = "warn" // pdfmill works, but not as it could
	Bad  = "bad"
)

// Result is what a check found.
type Result struct {
	Check   string `json:"check"`
	Outcome string `json:"outcome"`
	Detail  string `json:"detail"`
	Advice  string `json:"advice,omitempty"` // what to do about it
}

// Check is one thing to look at.
type Check struct {
	Name  string
	Limit time.Duration // what Run gets
	run   func(context.Context) (outcome, detail, advice string)
}

// Run looks.
func (c Check) Run(ctx context.Context) Result {
	outcome, detail, advice := c.run(ctx)
	return Result{Check: c.Name, Outcome: outcome, Detail: detail, Advice: advice}
}

// quick is enough for what only looks, patient for what starts or fetches something.
const (
	quick   = 10 * time.Second
	patient = 15 * time.Minute
)
