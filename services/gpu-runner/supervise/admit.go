package supervise

import (
	"fmt"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

// Priority of a job. Interactive ones go first.
type Priority int

// The priorities, in the order in which they are served.
const (
	Interactive Priority = iota
	Bulk
	Suspect // only isolated workers do these, and nothing else
)

func (p Priority) String() string { return [...]string{"interactive", "bulk", "suspect"}[p] }

// Admitter is the one place where it is decided which waiting job starts next, and on which worker. The Pool asks it, one question at a
// time and holding its lock, whenever something has changed; an answer must come from memory.
type Admitter interface {
	// Next picks a waiting job and an idle worker, or reports false when none may start now.
	Next(v View) (Grant, bool)
	// Finished tells that a granted job is over, and what it used (zero when nobody knows). With ErrGone it had not begun, and waits again.
	Finished(w Waiter, g Grant, used Usage, err error)
	// Left tells that a waiting job waits no more, without having been granted.
	Left(w Waiter)
	// Why says in one sentence what a waiting job waits for.
	Why(v View, w Waiter) string
}

// View is what a decision is made on.
type View struct {
	Waiting []Waiter // in order of arrival
	Workers []WorkerView
}

// Waiter is a job that waits.
type Waiter struct {
	Seq   uint64 // order of arrival
	Job   Job
	Since time.Time
}

// WorkerView is a worker as an Admitter sees it.
type WorkerView struct {
	Index    int
	State    State
	Isolated bool // it does suspect jobs, and only those
	Info     Info // zero unless State is idle or busy
	Room     Room // of its process; nil without one
}

// Grant is a decision.
type Grant struct {
	Seq    uint64  // of the Waiter
	Worker int     // Index of the WorkerView
	Scale  float64 // of the engine's batches; 0 means 1
	// Refused is not nil when the job will not be done here: it is answered with this error.
	Refused error
}

// Usage is the memory that a job used.
type Usage struct {
	Peak  protocol.Peak
	Ready protocol.Memory // what its worker held before its first job
}

// Slots admits one job to each idle worker: interactive before bulk, and each of them in order of arrival.
type Slots struct{}

// Next implements Admitter.
func (Slots) Next(v View) (Grant, bool) {
	for _, w := range v.Workers {
		if w.State == Idle {
			if first, any := firstOf(v.Waiting, w.Isolated); any {
				return Grant{Seq: first.Seq, Worker: w.Index}, true
			}
		}
	}
	return Grant{}, false
}

func firstOf(waiting []Waiter, isolated bool) (first Waiter, any bool) {
	for _, w := range waiting {
		if (w.Job.Priority == Suspect) == isolated && (!any || w.Job.Priority < first.Job.Priority) {
			first, any = w, true
		}
	}
	return first, any
}

// Finished implements Admitter; a slot is free when its worker says so.
func (Slots) Finished(Waiter, Grant, Usage, error) {}

// Left implements Admitter.
func (Slots) Left(Waiter) {}

// Why implements Admitter.
func (Slots) Why(v View, w Waiter) string {
	ahead := 0
	for _, other := range v.Waiting {
		if other.Job.Priority < w.Job.Priority || (other.Job.Priority == w.Job.Priority && other.Seq < w.Seq) {
			ahead++
		}
	}
	states := map[State]int{}
	for _, worker := range v.Workers {
		states[worker.State]++
	}
	var parts []string
	for _, s := range States() {
		if n := states[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	return fmt.Sprintf("%d jobs are ahead of this %s one; workers: %s", ahead, w.Job.Priority, strings.Join(parts, ", "))
}
