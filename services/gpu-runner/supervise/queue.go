package supervise

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

// ticket is a job on its way through the pool.
type ticket struct {
	Waiter
	ctx    context.Context
	grant  Grant       // once it has been given to a worker
	answer chan answer // holds one
}

type answer struct {
	outcome Outcome
	err     error
}

// Convert waits for a worker and has it do the job. The error is what Process.Convert gave; or unhealthy or engine-missing when every worker is in
// quarantine; or wraps ErrStopped, or the cause of ctx's end, without a class.
func (p *Pool) Convert(ctx context.Context, j Job) (Outcome, error) {
	t := &ticket{Waiter: Waiter{Job: j, Since: time.Now()}, ctx: ctx, answer: make(chan answer, 1)}
	p.mu.Lock()
	if p.live.Err() != nil {
		p.mu.Unlock()
		return Outcome{}, fmt.Errorf("convert %s: %w", j.Request.subject(), ErrStopped)
	}
	p.seq++
	t.Seq = p.seq
	p.queue = append(p.queue, t)
	p.dispatch()
	p.mu.Unlock()

	select {
	case a := <-t.answer:
		return a.outcome, a.err
	case <-ctx.Done():
	}
	p.mu.Lock()
	waiting := p.unqueue(t.Seq) != nil
	if waiting {
		p.cfg.Admitter.Left(t.Waiter)
	}
	p.mu.Unlock()
	if waiting {
		return Outcome{}, fmt.Errorf("convert %s: waiting for a worker: %w", j.Request.subject(), endOf(ctx))
	}
	a := <-t.answer // its worker sees the end of ctx too
	return a.outcome, a.err
}

// requeue takes a job that hasn't begun from a worker and puts it back to the place it had, or gives it back when nobody wants it done any more.
func (p *Pool) requeue(w *worker, t *ticket) {
	w.current = nil
	p.cfg.Admitter.Finished(t.Waiter, t.grant, Usage{}, ErrGone)
	unwanted := endOf(t.ctx)
	if p.live.Err() != nil {
		unwanted = ErrStopped
	}
	if unwanted != nil {
		p.cfg.Admitter.Left(t.Waiter)
		t.answer <- answer{err: fmt.Errorf("convert %s: waiting for a worker: %w", t.Job.Request.subject(), unwanted)}
		return
	}
	at, _ := slices.BinarySearchFunc(p.queue, t.Seq, func(q *ticket, seq uint64) int { return cmp.Compare(q.Seq, seq) })
	p.queue = slices.Insert(p.queue, at, t)
	p.dispatch()
}

func (p *Pool) unqueue(seq uint64) *ticket {
	for i, t := range p.queue {
		if t.Seq == seq {
			p.queue = slices.Delete(p.queue, i, i+1)
			return t
		}
	}
	return nil
}

// dispatch starts every job that may start.
func (p *Pool) dispatch() {
	for _, isolated := range []bool{false, true} {
		if err := p.hopeless(isolated); err != nil {
			p.giveUp(func(t *ticket) bool { return (t.Job.Priority == Suspect) == isolated }, func(*ticket) error { return err })
		}
	}
	for len(p.queue) > 0 {
		grant, ok := p.cfg.Admitter.Next(p.view())
		if !ok {
			return
		}
		t := p.unqueue(grant.Seq)
		if grant.Refused != nil {
			t.answer <- answer{err: grant.Refused}
			continue
		}
		w := p.workers[grant.Worker]
		t.grant = grant
		w.state, w.since, w.reason = Busy, time.Now(), ""
		w.current, w.began, w.progress = t, time.Now(), protocol.Progress{}
		w.assign <- t
	}
}

// hopeless says why no job of a kind can be done, now or soon: every worker for it that is wanted is in quarantine.
func (p *Pool) hopeless(isolated bool) error {
	var last error
	for _, w := range p.workers {
		if w.isolated != isolated {
			continue
		}
		if w.wanted && w.state != Quarantined {
			return nil
		}
		if w.wanted {
			last = w.lastErr
		}
	}
	if last == nil {
		return nil
	}
	if failure.ClassOf(last, "") == failure.EngineMissing { // what is missing says it all: that it was looked for again and again doesn't matter
		return failure.New(failure.EngineMissing, "find a worker of engine", p.cfg.Engine, last)
	}
	return failure.New(failure.Unhealthy, "find a worker of engine", p.cfg.Engine, fmt.Errorf("all are in quarantine: %w", last)).
		WithHint("pdfmill engines test tells more; pdfmill engines install --repair makes a Python environment anew that is broken")
}

func (p *Pool) view() View {
	v := View{Waiting: make([]Waiter, 0, len(p.queue)), Workers: make([]WorkerView, 0, len(p.workers))}
	for _, t := range p.queue {
		v.Waiting = append(v.Waiting, t.Waiter)
	}
	for _, w := range p.workers {
		seen := WorkerView{Index: w.index, State: w.state, Isolated: w.isolated, Room: w.room}
		if w.proc != nil {
			seen.Info = w.proc.Info()
		}
		v.Workers = append(v.Workers, seen)
	}
	return v
}

// giveUp answers waiting jobs.
func (p *Pool) giveUp(whom func(*ticket) bool, why func(*ticket) error) {
	p.queue = slices.DeleteFunc(p.queue, func(t *ticket) bool {
		if !whom(t) {
			return false
		}
		p.cfg.Admitter.Left(t.Waiter)
		t.answer <- answer{err: why(t)}
		return true
	})
}

// Kick has the pool look again whether a job may start: something has changed that it can't see.
func (p *Pool) Kick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dispatch()
}
