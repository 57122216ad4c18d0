package supervise

import (
	"fmt"
	"time"
)

// RestartPolicy says when a worker that is gone is started again. Zero fields get the defaults.
type RestartPolicy struct {
	Base          time.Duration // delay after the first bad end; default 250 ms
	Cap           time.Duration // longest delay; default 30 s
	HealthyAfter  time.Duration // a worker that lived this long forgets earlier bad ends; default 2 min
	QuarantineAt  int           // this many failed starts within Window put the worker into quarantine; default 5
	Window        time.Duration // default 10 min
	QuarantineFor time.Duration // after it, one start is tried; default 5 min
}

func (p RestartPolicy) withDefaults() RestartPolicy {
	orDefault(&p.Base, 250*time.Millisecond)
	orDefault(&p.Cap, 30*time.Second)
	orDefault(&p.HealthyAfter, 2*time.Minute)
	orDefault(&p.QuarantineAt, 5)
	orDefault(&p.Window, 10*time.Minute)
	orDefault(&p.QuarantineFor, 5*time.Minute)
	return p
}

// End is what is known of the end of a worker that nobody had asked to end.
type End struct {
	Ready    bool          // it got as far as ready; else its start failed
	JobsDone int           // conversions that it brought to a result
	Lived    time.Duration // since ready
}

// Verdict says what follows. Reason is for people.
type Verdict struct {
	Quarantine bool
	Delay      time.Duration // until the next start
	Reason     string
}

// Restarts applies a RestartPolicy to one worker. It knows no clock, no process and no goroutine: facts in, verdict out.
type Restarts struct {
	policy RestartPolicy
	bad    int         // bad ends since the last sign of health
	failed []time.Time // starts that failed within the window
}

// NewRestarts returns the state of a worker that has never run.
func NewRestarts(p RestartPolicy) *Restarts { return &Restarts{policy: p.withDefaults()} }

// Next judges an end that happened at now.
func (r *Restarts) Next(now time.Time, e End) Verdict {
	if e.Ready && (e.JobsDone > 0 || e.Lived >= r.policy.HealthyAfter) {
		r.bad, r.failed = 0, nil
	}
	switch {
	case e.Ready && e.JobsDone > 0:
		return Verdict{Reason: fmt.Sprintf("died after %d conversions: started again at once", e.JobsDone)}
	case e.Ready && e.Lived >= r.policy.HealthyAfter:
		return Verdict{Reason: fmt.Sprintf("died after %s: started again at once", e.Lived.Round(time.Second))}
	}
	r.bad++
	delay := r.backoff()
	if e.Ready {
		return Verdict{Delay: delay, Reason: fmt.Sprintf("died soon after it was ready, %d times in a row: next start in %s", r.bad, delay)}
	}
	r.failed = append(r.failed, now)
	for len(r.failed) > 0 && now.Sub(r.failed[0]) > r.policy.Window {
		r.failed = r.failed[1:]
	}
	if n := len(r.failed); n >= r.policy.QuarantineAt {
		r.failed = r.failed[n-r.policy.QuarantineAt:]
		return Verdict{Quarantine: true, Delay: r.policy.QuarantineFor, Reason: fmt.Sprintf(
			"%d starts failed within %s: in quarantine, next start in %s", n, r.policy.Window, r.policy.QuarantineFor)}
	}
	return Verdict{Delay: delay, Reason: fmt.Sprintf("start failed, %d bad ends in a row: next start in %s", r.bad, delay)}
}

// Forgive forgets everything bad: somebody has repaired something.
func (r *Restarts) Forgive() { r.bad, r.failed = 0, nil }

func (r *Restarts) backoff() time.Duration {
	delay := r.policy.Base
	for range r.bad - 1 {
		if delay *= 2; delay >= r.policy.Cap {
			return r.policy.Cap
		}
	}
	return min(delay, r.policy.Cap)
}
