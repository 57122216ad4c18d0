package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

// State of a worker, a place in the pool that is filled by one Process after another.
//
//	            Load              ready              granted
//	unloaded ────────▶ starting ────────▶ idle ─────────────────▶ busy
//	   ▲                ▲     │            ▲ │ ▲                   │ │
//	   │     delay over │     │ failed     │ │ └───── answered ────┘ │
//	   │                │     ▼            │ │                       │ died, or killed for what it did
//	   │               backoff ◀───────────┼─┼─── died ──────────────┤
//	   │               quarantined         │ │                       │
//	   │                    replacement ───┘ │                       │
//	   └───────────── stopping ◀─────────────┴── Unload, Stop ◀──────┘ (the job in hand is finished first)
//
// Each worker has one goroutine, which alone moves it, with one exception: a grant turns idle into busy, under the pool's lock, by whoever
// has made the grant possible. A worker that leaves idle at that very moment puts the job back where it was.
type State string

// The states of a worker.
const (
	Unloaded    State = "unloaded"
	Starting    State = "starting"
	Idle        State = "idle"
	Busy        State = "busy"
	Backoff     State = "backoff"     // waits to be started again
	Quarantined State = "quarantined" // as backoff, after too many failed starts
	Stopping    State = "stopping"
)

// States lists the states.
func States() []State {
	return []State{Unloaded, Starting, Idle, Busy, Backoff, Quarantined, Stopping}
}

// Pool keeps workers of one engine and gives them jobs. Use NewPool.
type Pool struct {
	cfg  PoolConfig
	wg   sync.WaitGroup  // every goroutine of the pool
	live context.Context // ends when the pool begins to stop: no more starts
	end  context.CancelCauseFunc
	hard context.Context // ends when the grace is over: no more work
	kill context.CancelCauseFunc

	mu        sync.Mutex
	started   bool
	seq       uint64
	queue     []*ticket // in order of arrival
	workers   []*worker
	processes map[*Process]struct{}
	changed   chan struct{} // closed and replaced at every change of a state
}

// ticket is a job on its way through the pool.
type ticket struct {
	Waiter
	ctx    context.Context
	answer chan answer // holds one
}

type answer struct {
	outcome Outcome
	err     error
}

// worker is a place. Its fields are guarded by the pool's lock, except those that only its own goroutine uses.
type worker struct {
	index    int
	name     string
	lifetime func() int
	restarts *Restarts
	failures int   // starts that failed in a row
	lastFail error // the latest of them

	wake   chan struct{} // holds one: wanted has changed
	assign chan *ticket  // holds one: filled by a grant

	state     State
	since     time.Time
	reason    string
	wanted    bool
	abort     context.CancelCauseFunc // ends the start that goes on, or nil
	proc      *Process
	current   *ticket
	began     time.Time // of current
	progress  protocol.Progress
	jobs      int // answered by proc
	limit     int // of jobs, then proc is replaced
	jobsTotal int
	starts    int
	lastErr   error
	lastErrAt time.Time
	nextStart time.Time
}

// NewPool returns a pool whose workers are all wanted but not yet started.
func NewPool(cfg PoolConfig) *Pool {
	cfg = cfg.withDefaults()
	p := &Pool{cfg: cfg, processes: map[*Process]struct{}{}, changed: make(chan struct{})}
	p.live, p.end = context.WithCancelCause(context.Background())
	p.hard, p.kill = context.WithCancelCause(context.Background())
	for i := range cfg.Workers {
		p.workers = append(p.workers, &worker{
			index: i, name: fmt.Sprintf("%s-%d", cfg.Engine, i), lifetime: cfg.lifetimes(i), restarts: NewRestarts(cfg.Restart),
			wake: make(chan struct{}, 1), assign: make(chan *ticket, 1), state: Unloaded, since: time.Now(), wanted: true,
		})
	}
	return p
}

// Start ends stale workers of earlier runs and begins to start the pool's own, all at once. It doesn't wait for them: see WaitReady.
func (p *Pool) Start(ctx context.Context) error {
	if p.cfg.Registry != nil {
		if _, err := p.cfg.Registry.Sweep(ctx); err != nil {
			return failure.New(failure.Unhealthy, "end stale workers", p.cfg.Engine, err).
				WithHint("end them by hand, or remove their records from the state directory")
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started || p.live.Err() != nil {
		return errors.New("a worker pool starts once")
	}
	p.started = true
	for _, w := range p.workers {
		p.wg.Go(func() { p.run(w) })
	}
	return nil
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
	p.mu.Unlock()
	if waiting {
		return Outcome{}, fmt.Errorf("convert %s: waiting for a worker: %w", j.Request.subject(), endOf(ctx))
	}
	a := <-t.answer // its worker sees the end of ctx too
	return a.outcome, a.err
}

// Load wants a worker running; Unload wants it gone once the job in hand is done. Both return at once: see Snapshot.
func (p *Pool) Load(index int) { p.want(index, true) }

// Unload is the opposite of Load.
func (p *Pool) Unload(index int) { p.want(index, false) }

func (p *Pool) want(index int, wanted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.workers[index]
	w.wanted = wanted
	if !wanted && w.abort != nil {
		w.abort(errUnloaded)
	}
	w.nudge()
}

var errUnloaded = errors.New("the worker is to be unloaded")

func (w *worker) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// WaitReady waits until a worker can take jobs. The error is that of Convert when none ever will, or the cause of ctx's end.
func (p *Pool) WaitReady(ctx context.Context) error {
	for {
		p.mu.Lock()
		changed, lost := p.changed, p.hopeless()
		ready := slices.ContainsFunc(p.workers, func(w *worker) bool { return w.state == Idle || w.state == Busy })
		p.mu.Unlock()
		switch {
		case ready:
			return nil
		case lost != nil:
			return lost
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for a worker of engine %s: %w", p.cfg.Engine, endOf(ctx))
		case <-p.live.Done():
			return ErrStopped
		}
	}
}

// Stop takes no more jobs, gives back those that wait, lets those in hand finish within the grace or until ctx ends, then kills. It returns when no
// process and no goroutine of the pool is left; the error says that something had to be killed.
func (p *Pool) Stop(ctx context.Context) error {
	p.mu.Lock()
	p.end(ErrStopped)
	for _, t := range p.queue {
		t.answer <- answer{err: fmt.Errorf("convert %s: %w", t.Job.Request.subject(), ErrStopped)}
	}
	p.queue = nil
	for _, w := range p.workers {
		w.nudge()
	}
	p.mu.Unlock()

	gone := make(chan struct{})
	go func() {
		p.wg.Wait()
		close(gone)
	}()
	grace := time.NewTimer(p.cfg.Grace)
	defer grace.Stop()
	select {
	case <-gone:
		p.kill(ErrStopped)
		return nil
	case <-grace.C:
	case <-ctx.Done():
	}
	p.kill(ErrStopped)
	p.mu.Lock()
	killed := len(p.processes)
	for proc := range p.processes {
		proc.Kill(ErrStopped)
	}
	p.mu.Unlock()
	<-gone
	return fmt.Errorf("stop engine %s: %d workers had to be killed", p.cfg.Engine, killed)
}

// run moves one worker through its states until the pool stops.
func (p *Pool) run(w *worker) {
	for p.awaitWanted(w) {
		proc, err := p.launch(w, true)
		switch {
		case err == nil:
			p.serve(w, proc)
		case errors.Is(err, errUnloaded) || p.live.Err() != nil:
		default:
			p.rest(w, End{}, err)
		}
	}
	p.enter(w, Unloaded, "the pool is stopping")
}

// awaitWanted reports false when the pool stops.
func (p *Pool) awaitWanted(w *worker) bool {
	for {
		p.mu.Lock()
		wanted := w.wanted
		p.mu.Unlock()
		if p.live.Err() != nil {
			return false
		}
		if wanted {
			return true
		}
		p.enter(w, Unloaded, "")
		select {
		case <-w.wake:
		case <-p.live.Done():
		}
	}
}

// launch starts a process for a worker; visible says that the worker has none meanwhile.
func (p *Pool) launch(w *worker, visible bool) (*Process, error) {
	ctx, abort := context.WithCancelCause(p.live)
	defer abort(nil)
	p.mu.Lock()
	unwanted := !w.wanted
	w.abort = abort
	w.starts++
	p.mu.Unlock()
	if unwanted {
		return nil, errUnloaded
	}
	if visible {
		p.enter(w, Starting, "")
	}
	command, err := p.cfg.Launch(ctx, Launch{Worker: w.index, Failures: w.failures, Last: w.lastFail})
	var proc *Process
	if err == nil {
		proc, err = Start(ctx, Config{
			Name: w.name, Command: command, Engine: p.cfg.Engine, HelloTimeout: p.cfg.HelloTimeout, LoadTimeout: p.cfg.LoadTimeout,
			Log: p.cfg.Log, OOM: p.cfg.OOM, Registry: p.cfg.Registry,
		})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w.abort = nil
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w: %w", cause, err)
		} else {
			w.lastErr, w.lastErrAt = err, time.Now()
		}
		return nil, err
	}
	p.processes[proc] = struct{}{}
	if p.hard.Err() != nil {
		proc.Kill(ErrStopped)
	}
	return proc, nil
}

// rest judges how a process ended, and waits as long as the verdict says.
func (p *Pool) rest(w *worker, e End, err error) {
	if err != nil && !e.Ready {
		w.failures++
		w.lastFail = err
	}
	verdict := w.restarts.Next(time.Now(), e)
	log := p.cfg.Log.With("worker", w.name, "reason", verdict.Reason)
	if err != nil {
		log.Warn("worker ended", "error", err)
	} else {
		log.Info("worker ended")
	}
	if verdict.Delay == 0 {
		return
	}
	state := Backoff
	if verdict.Quarantine {
		state = Quarantined
	}
	p.mu.Lock()
	w.nextStart = time.Now().Add(verdict.Delay)
	p.mu.Unlock()
	p.enter(w, state, verdict.Reason)
	timer := time.NewTimer(verdict.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.live.Done():
	case <-w.wake: // Load or Unload: somebody has decided anew
		w.restarts.Forgive()
	}
}

// replacement is a process that is being started beside the one it will replace.
type replacement struct {
	proc *Process
	err  error
}

// serve gives a worker's process its jobs until it is gone, replacing it when it has done its share. It returns with the worker at rest.
func (p *Pool) serve(w *worker, proc *Process) {
	var next chan replacement // of the replacement that is being started, or nil
	w.failures, w.lastFail = 0, nil
	p.install(w, proc)
	for {
		select {
		case t := <-w.assign:
			p.work(w, proc, t)
			if !proc.Doomed() && !p.unwanted(w) {
				if next == nil && p.due(w) {
					if !p.cfg.Overlap(w.index) {
						p.leave(w, Stopping, "has done its share")
						p.stop(proc)
						return
					}
					next = p.replace(w)
				}
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
			p.install(w, proc)
			continue
		case <-w.wake:
		case <-p.live.Done():
		}
		if p.unwanted(w) {
			p.leave(w, Stopping, "")
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
				p.install(w, proc)
				continue
			}
		}
		if p.live.Err() == nil {
			p.rest(w, end, err)
		}
		return
	}
}

// bury waits until a doomed process is gone, and says how it ended.
func (p *Pool) bury(w *worker, proc *Process) (End, error) {
	<-proc.Done()
	err := proc.Err()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.processes, proc)
	w.proc, w.lastErr, w.lastErrAt = nil, err, time.Now()
	return End{Ready: true, JobsDone: w.jobs, Lived: time.Since(proc.Info().StartedAt)}, err
}

func (p *Pool) unwanted(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !w.wanted || p.live.Err() != nil
}

// install puts a fresh process into a worker's place.
func (p *Pool) install(w *worker, proc *Process) {
	p.mu.Lock()
	w.proc, w.jobs, w.limit = proc, 0, w.lifetime()
	p.mu.Unlock()
	p.enter(w, Idle, "")
}

func (p *Pool) due(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return w.jobs >= w.limit && w.wanted && p.live.Err() == nil
}

func (p *Pool) replace(w *worker) chan replacement {
	next := make(chan replacement, 1)
	p.wg.Go(func() {
		proc, err := p.launch(w, false)
		next <- replacement{proc, err}
	})
	return next
}

// postpone lets a worker go on whose replacement didn't start.
func (p *Pool) postpone(w *worker, err error) {
	const jobs = 10
	p.mu.Lock()
	defer p.mu.Unlock()
	w.limit = w.jobs + jobs
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

// stop ends a process in good order.
func (p *Pool) stop(proc *Process) {
	if err := proc.Stop(p.cfg.Grace); err != nil {
		p.cfg.Log.Warn("worker didn't stop as it should", "error", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.processes, proc)
}

// work has a process do one job, and makes sure afterwards that it can be trusted with the next.
func (p *Pool) work(w *worker, proc *Process, t *ticket) {
	ctx, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.hard, func() { cancel(ErrStopped) })()
	began := time.Now()
	result, err := proc.Convert(ctx, t.Job.Request, func(m protocol.Progress) {
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
	if !proc.Doomed() {
		w.jobs++
		w.jobsTotal++
	}
	p.cfg.Admitter.Finished(Grant{Seq: t.Seq, Worker: w.index}, peakOf(result, err), err)
	p.mu.Unlock()
	t.answer <- answer{err: err, outcome: Outcome{
		Result: result, Worker: w.name, Info: proc.Info(), Queued: began.Sub(t.Since), Worked: time.Since(began),
	}}
	// These say nothing certain about the process: ask it.
	if !proc.Doomed() && (class == failure.OOM || class == failure.EngineError) {
		if _, err := proc.Probe(p.hard, p.cfg.ProbeTimeout); err != nil {
			p.cfg.Log.Warn("worker fails its probe after an error", "worker", w.name, "error", err)
		}
	}
}

func peakOf(result protocol.Result, err error) protocol.Peak {
	if engine := (*EngineFailure)(nil); errors.As(err, &engine) {
		return engine.Memory
	}
	return result.Memory
}

// enter moves a worker to a state.
func (p *Pool) enter(w *worker, s State, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.move(w, s, reason)
}

// leave moves a worker that may be idle elsewhere. A job that it has been granted meanwhile goes back where it was.
func (p *Pool) leave(w *worker, s State, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case t := <-w.assign:
		p.requeue(w, t)
	default:
	}
	p.move(w, s, reason)
}

func (p *Pool) move(w *worker, s State, reason string) {
	w.state, w.reason, w.since = s, reason, time.Now()
	if s == Unloaded || s == Starting {
		w.proc = nil
	}
	if s != Backoff && s != Quarantined {
		w.nextStart = time.Time{}
	}
	close(p.changed)
	p.changed = make(chan struct{})
	p.dispatch()
}

// requeue takes a job that hasn't begun from a worker and puts it back to the place it had, or gives it back when nobody wants it done any more.
func (p *Pool) requeue(w *worker, t *ticket) {
	w.current = nil
	p.cfg.Admitter.Finished(Grant{Seq: t.Seq, Worker: w.index}, protocol.Peak{}, ErrGone)
	unwanted := endOf(t.ctx)
	if p.live.Err() != nil {
		unwanted = ErrStopped
	}
	if unwanted != nil {
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
	if err := p.hopeless(); err != nil {
		for _, t := range p.queue {
			t.answer <- answer{err: err}
		}
		p.queue = nil
	}
	for len(p.queue) > 0 {
		grant, ok := p.cfg.Admitter.Next(p.view())
		if !ok {
			return
		}
		w, t := p.workers[grant.Worker], p.unqueue(grant.Seq)
		w.state, w.since, w.reason = Busy, time.Now(), ""
		w.current, w.began, w.progress = t, time.Now(), protocol.Progress{}
		w.assign <- t
	}
}

// hopeless says why no job can be done, now or soon: every worker that is wanted is in quarantine.
func (p *Pool) hopeless() error {
	var last error
	for _, w := range p.workers {
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
	class := failure.Unhealthy
	if failure.ClassOf(last, "") == failure.EngineMissing {
		class = failure.EngineMissing
	}
	return failure.New(class, "find a worker of engine", p.cfg.Engine, fmt.Errorf("all are in quarantine: %w", last))
}

func (p *Pool) view() View {
	v := View{Waiting: make([]Waiter, 0, len(p.queue)), Workers: make([]WorkerView, 0, len(p.workers))}
	for _, t := range p.queue {
		v.Waiting = append(v.Waiting, t.Waiter)
	}
	for _, w := range p.workers {
		seen := WorkerView{Index: w.index, State: w.state}
		if w.proc != nil {
			seen.Info = w.proc.Info()
		}
		v.Workers = append(v.Workers, seen)
	}
	return v
}
