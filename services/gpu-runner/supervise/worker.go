package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

// worker is a place. Its fields are guarded by the pool's lock, except those that only its own goroutine uses.
type worker struct {
	index    int
	name     string
	isolated bool // each of its processes does one job
	lifetime func() int
	restarts *Restarts
	failures int   // starts that failed in a row
	lastFail error // the latest of them

	wake   chan struct{} // holds one: wanted or retiring has changed
	assign chan *ticket  // holds one: filled by a grant

	state     State
	since     time.Time
	reason    string
	wanted    bool
	retiring  string                  // why the process is to end, although the worker is wanted; "": it isn't
	abort     context.CancelCauseFunc // ends the start that goes on, or nil
	proc      *Process
	room      Room // of proc
	current   *ticket
	began     time.Time // of current
	progress  protocol.Progress
	jobs      int   // answered by proc
	limit     int   // of jobs, then proc is replaced
	notBefore int   // jobs until a replacement is tried again
	baseline  int64 // bytes of host memory that proc held when it was new
	jobsTotal int
	starts    int
	lastErr   error
	lastErrAt time.Time
	nextStart time.Time
	probed    Probed
}

// Probed is how a worker answered when it was last asked to use its device.
type Probed struct {
	At      time.Time `json:"at"`
	OK      bool      `json:"ok"`
	Detail  string    `json:"detail"`
	Seconds float64   `json:"seconds"`
}

var errUnloaded = errors.New("the worker is to be unloaded")

func (p *Pool) newWorker(index int) *worker {
	w := &worker{
		index: index, name: fmt.Sprintf("%s-%d", p.cfg.Engine, index), lifetime: p.cfg.lifetimes(index), restarts: NewRestarts(p.cfg.Restart),
		wake: make(chan struct{}, 1), assign: make(chan *ticket, 1), state: Unloaded, since: time.Now(), wanted: true,
	}
	if w.isolated = index >= p.cfg.Workers; w.isolated {
		w.name = fmt.Sprintf("%s-isolated-%d", p.cfg.Engine, index-p.cfg.Workers)
		w.lifetime = func() int { return 1 }
	}
	return w
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

// Retire ends the process that fills a worker's place, once the job in hand is done. The place stays wanted: it is filled again when Rooms has room for
// it. Without a process it does nothing.
func (p *Pool) Retire(index int, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.workers[index]; w.proc != nil {
		w.retiring = reason
		w.nudge()
	}
}

func (w *worker) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (p *Pool) unwanted(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !w.wanted || w.retiring != "" || p.live.Err() != nil
}

func (p *Pool) retiring(w *worker) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return w.retiring
}

// run moves one worker through its states until the pool stops.
func (p *Pool) run(w *worker) {
	for p.awaitWanted(w) {
		room, err := p.find(w)
		if err != nil { // the worker isn't wanted any more, or the pool stops
			continue
		}
		proc, err := p.launch(w, room, true)
		switch {
		case err == nil:
			p.serve(w, proc, room)
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
		w.retiring = ""
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

// find waits for room.
func (p *Pool) find(w *worker) (Room, error) {
	ctx, done := p.abortable(w)
	defer done()
	p.enter(w, Unloaded, "waits for demand and room")
	room, err := p.cfg.Rooms.Enter(ctx, w.place())
	if err == nil && context.Cause(ctx) != nil {
		room.Leave(End{}, nil)
		err = context.Cause(ctx)
	}
	return room, err
}

func (w *worker) place() Place { return Place{Worker: w.index, Name: w.name, Isolated: w.isolated} }

// abortable returns a context that also ends when the worker isn't wanted any more.
func (p *Pool) abortable(w *worker) (context.Context, func()) {
	ctx, abort := context.WithCancelCause(p.live)
	p.mu.Lock()
	defer p.mu.Unlock()
	w.abort = abort
	if !w.wanted {
		abort(errUnloaded)
	}
	return ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		w.abort = nil
		abort(nil)
	}
}

// launch starts a process for a worker in a room, which it leaves when that fails; visible says that the worker has none meanwhile.
func (p *Pool) launch(w *worker, room Room, visible bool) (*Process, error) {
	ctx, done := p.abortable(w)
	defer done()
	p.mu.Lock()
	w.starts++
	p.mu.Unlock()
	if visible {
		p.enter(w, Starting, "")
	}
	command, err := p.cfg.Launch(ctx, Launch{
		Worker: w.index, Failures: w.failures, Last: w.lastFail, Isolated: w.isolated, Device: room.Device(),
	})
	var proc *Process
	if err == nil {
		proc, err = Start(ctx, Config{
			Name: w.name, Command: command, Engine: p.cfg.Engine, HelloTimeout: p.cfg.HelloTimeout, LoadTimeout: p.cfg.LoadTimeout,
			Log: p.cfg.Log, OOM: p.cfg.OOM, Registry: p.cfg.Registry, Groups: p.cfg.Groups,
		})
	}
	if err == nil {
		if visible { // from here on the room counts, and the process may be told to leave it
			p.mu.Lock()
			w.proc = proc
			p.mu.Unlock()
		}
		room.Loaded(proc.Info())
		p.occupy(proc, room)
		return proc, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		room.Leave(End{}, nil)
		return nil, fmt.Errorf("%w: %w", cause, err)
	}
	room.Leave(End{}, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	w.lastErr, w.lastErrAt = err, time.Now()
	return nil, err
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
