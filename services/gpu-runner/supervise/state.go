package supervise

import "time"

// State of a worker, a place in the pool that is filled by one Process after another.
//
//	          room is booked            ready              granted
//	unloaded ────────────────▶ starting ────────▶ idle ─────────────────▶ busy
//	   ▲                        ▲     │            ▲ │ ▲                   │ │
//	   │             delay over │     │ failed     │ │ └───── answered ────┘ │
//	   │                        │     ▼            │ ├─▶ probing ─┐          │ died, or killed for what it did
//	   │                       backoff ◀───────────┼─┼─── died ◀──┴──────────┤
//	   │                       quarantined         │ │                       │
//	   │                            replacement ───┘ │                       │
//	   └───────────────── stopping ◀─────────────────┴── Unload, Retire ◀────┘ (the job in hand is finished first)
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
	Probing     State = "probing"     // is asked whether it works
	Backoff     State = "backoff"     // waits to be started again
	Quarantined State = "quarantined" // as backoff, after too many failed starts
	Stopping    State = "stopping"
)

// States lists the states.
func States() []State {
	return []State{Unloaded, Starting, Idle, Busy, Probing, Backoff, Quarantined, Stopping}
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
	if s == Unloaded {
		w.proc, w.room = nil, nil
	}
	if s != Backoff && s != Quarantined {
		w.nextStart = time.Time{}
	}
	close(p.changed)
	p.changed = make(chan struct{})
	p.dispatch()
}
