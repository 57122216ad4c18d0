package supervise

import (
	"context"
	"errors"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

// serve gives a worker's process its jobs until it is gone, replacing it when it has done its share. It returns with the worker at rest.
func (p *Pool) serve(w *worker, proc *Process, room Room) {
	var next chan replacement // of the replacement that is being started, or nil
	w.failures, w.lastFail = 0, nil
	p.install(w, proc, room)
	ticker := time.NewTicker(p.cfg.ProbeEvery)
	defer ticker.Stop()
	for {
		select {
		case t := <-w.assign:
			p.work(w, proc, t)
			if !proc.Doomed() && !p.unwanted(w) {
				if why := p.due(w); next == nil && why != "" {
					beside, ok := p.beside(w)
					if !ok {
						p.leave(w, Stopping, why)
						p.stop(proc)
						return
					}
					next = p.replace(w, beside)
				}
				p.enter(w, Idle, "")
				continue
			}
		case <-ticker.C:
			p.leave(w, Probing, "")
			p.probe(w, proc)
			if !proc.Doomed() && !p.unwanted(w) {
				p.enter(w, Idle, "")
				continue
			}
		case <-proc.Done():
		case r := <-next:
			if next = nil; r.err != nil {
				p.postpone(w, r.err)
				continue
			}
			p.leave(w, Starting, "is being replaced")
			old := proc
			p.wg.Go(func() { p.stop(old) })
			proc = r.proc
			p.install(w, proc, r.room)
			continue
		case <-w.wake:
		case <-p.live.Done():
		}
		if p.unwanted(w) && !proc.Doomed() {
			p.leave(w, Stopping, p.retiring(w))
			p.stop(proc)
			p.discard(w, next)
			return
		}
		if !proc.Doomed() {
			continue // woken for nothing
		}
		p.leave(w, Stopping, "has died")
		end, err := p.bury(w, proc)
		if next != nil {
			if r := <-next; r.err == nil {
				next, proc = nil, r.proc
				p.install(w, proc, r.room)
				continue
			}
		}
		if p.live.Err() == nil {
			p.rest(w, end, err)
		}
		return
	}
}

// install puts a fresh process into a worker's place.
func (p *Pool) install(w *worker, proc *Process, room Room) {
	p.mu.Lock()
	w.proc, w.room, w.jobs, w.limit, w.notBefore, w.baseline, w.probed = proc, room, 0, w.lifetime(), 0, proc.RSS(), Probed{}
	p.mu.Unlock()
	p.enter(w, Idle, "")
}

// work has a process do one job, and makes sure afterwards that it can be trusted with the next.
func (p *Pool) work(w *worker, proc *Process, t *ticket) {
	ctx, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.hard, func() { cancel(ErrStopped) })()
	began := time.Now()
	request := t.Job.Request
	request.BatchScale = t.grant.Scale
	if t.Job.Begin != nil {
		if err := t.Job.Begin(ctx, w.index); err != nil {
			p.mu.Lock()
			w.current = nil
			p.cfg.Admitter.Finished(t.Waiter, t.grant, Usage{}, err)
			p.mu.Unlock()
			t.answer <- answer{err: err}
			return
		}
	}
	result, err := proc.Convert(ctx, request, func(m protocol.Progress) {
		p.mu.Lock()
		w.progress = m
		p.mu.Unlock()
		if t.Job.Progress != nil {
			t.Job.Progress(m)
		}
	})
	class := failure.ClassOf(err, "")
	p.mu.Lock()
	w.current = nil
	if err != nil {
		w.lastErr, w.lastErrAt = err, time.Now()
	}
	if errors.Is(err, ErrGone) { // the job never began
		p.requeue(w, t)
		p.mu.Unlock()
		return
	}
	if w.isolated || !proc.Doomed() { // a suspect has its answer also when it was the process' end, and the place is as good as before
		w.jobs++
		w.jobsTotal++
		if living := p.processes[proc]; living != nil {
			living.jobs++
		}
	}
	p.cfg.Admitter.Finished(t.Waiter, t.grant, Usage{Peak: peakOf(result, err), Ready: proc.Info().Ready.Memory}, err)
	p.mu.Unlock()
	t.answer <- answer{err: err, outcome: Outcome{
		Result: result, Worker: w.name, Info: proc.Info(), Queued: began.Sub(t.Since), Worked: time.Since(began), Scale: t.grant.Scale,
	}}
	// These say nothing certain about the process: ask it.
	if !proc.Doomed() && (class == failure.OOM || class == failure.EngineError) {
		p.probe(w, proc)
	}
}

// probe asks a process to use its device; one that can't is killed.
func (p *Pool) probe(w *worker, proc *Process) {
	began := time.Now()
	detail, err := proc.Probe(p.hard, p.cfg.ProbeTimeout)
	probed := Probed{At: began, OK: err == nil, Detail: detail, Seconds: time.Since(began).Seconds()}
	if err != nil {
		p.cfg.Log.Warn("worker fails its probe", "worker", w.name, "error", err)
		probed.Detail = failure.Sentence(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w.probed = probed
}

func peakOf(result protocol.Result, err error) protocol.Peak {
	if engine := (*EngineFailure)(nil); errors.As(err, &engine) {
		return engine.Memory
	}
	return result.Memory
}

// tenancy is a living process in its room.
type tenancy struct {
	room      Room
	jobs      int
	dismissed bool // it was told to go
}

// occupy remembers a process, and gives its room back when it is gone.
func (p *Pool) occupy(proc *Process, room Room) {
	t := &tenancy{room: room}
	p.mu.Lock()
	p.processes[proc] = t
	if p.hard.Err() != nil {
		proc.Kill(ErrStopped)
	}
	p.mu.Unlock()
	p.wg.Go(func() {
		<-proc.Done()
		p.mu.Lock()
		delete(p.processes, proc)
		end, err := End{Ready: true, JobsDone: t.jobs, Lived: time.Since(proc.Info().StartedAt)}, proc.Err()
		if t.dismissed {
			err = nil
		}
		p.mu.Unlock()
		room.Leave(end, err)
	})
}

// bury waits until a doomed process is gone, and says how it ended.
func (p *Pool) bury(w *worker, proc *Process) (End, error) {
	<-proc.Done()
	err := proc.Err()
	p.mu.Lock()
	defer p.mu.Unlock()
	w.proc, w.room, w.lastErr, w.lastErrAt = nil, nil, err, time.Now()
	return End{Ready: true, JobsDone: w.jobs, Lived: time.Since(proc.Info().StartedAt)}, err
}

// stop ends a process in good order.
func (p *Pool) stop(proc *Process) {
	p.mu.Lock()
	if t := p.processes[proc]; t != nil {
		t.dismissed = true
	}
	p.mu.Unlock()
	if err := proc.Stop(p.cfg.Grace); err != nil {
		p.cfg.Log.Warn("worker didn't stop as it should", "error", err)
	}
}
