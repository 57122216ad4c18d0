package supervise

import (
	"fmt"
	"time"
)

// replacement is a process that is being started beside the one it will replace.
type replacement struct {
	proc *Process
	room Room
	err  error
}

// due says why a worker's process is to be replaced; "": it isn't.
func (p *Pool) due(w *worker) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.wanted || p.live.Err() != nil || w.jobs < w.notBefore {
		return ""
	}
	age, grown := time.Since(w.proc.Info().StartedAt), w.proc.RSS()-w.baseline
	switch {
	case w.jobs >= w.limit:
		return fmt.Sprintf("has done its %d conversions", w.jobs)
	case age >= p.cfg.RecycleAge:
		return fmt.Sprintf("is %s old", age.Round(time.Second))
	case grown >= p.cfg.RecycleGrowth:
		return fmt.Sprintf("has grown by %d bytes of host memory", grown)
	}
	return ""
}

// beside books room for a replacement, if there is any now.
func (p *Pool) beside(w *worker) (Room, bool) {
	if w.isolated {
		return nil, false
	}
	place := w.place()
	place.Beside = true
	room, err := p.cfg.Rooms.Enter(p.live, place)
	return room, err == nil
}

func (p *Pool) replace(w *worker, room Room) chan replacement {
	next := make(chan replacement, 1)
	p.wg.Go(func() {
		proc, err := p.launch(w, room, false)
		next <- replacement{proc, room, err}
	})
	return next
}

// postpone lets a worker go on whose replacement didn't start.
func (p *Pool) postpone(w *worker, err error) {
	const jobs = 10
	p.mu.Lock()
	defer p.mu.Unlock()
	w.notBefore = w.jobs + jobs
	p.cfg.Log.Warn("a worker's replacement didn't start, the old one goes on", "worker", w.name, "next_try_after_jobs", jobs, "error", err)
}

// discard ends a replacement that nobody wants any more.
func (p *Pool) discard(w *worker, next chan replacement) {
	if next == nil {
		return
	}
	p.mu.Lock()
	if w.abort != nil {
		w.abort(errUnloaded)
	}
	p.mu.Unlock()
	if r := <-next; r.err == nil {
		p.stop(r.proc)
	}
}
