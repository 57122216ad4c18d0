package ledger

import (
	"cmp"
	"slices"
)

// Lane is how urgent a job is.
type Lane int

// The lanes, most urgent first.
const (
	Interactive Lane = iota
	Bulk
	Suspect
)

func (l Lane) String() string { return [...]string{"interactive", "bulk", "suspect"}[l] }

// Job is work that needs memory beside what its worker holds.
type Job struct {
	ID   string // unique
	Pool string // whose workers can do it
	Lane Lane
	// Need is what it may add to its worker's resident on a device, with its batches scaled. It must not grow as the scale shrinks.
	Need func(device string, scale float64) Need
	// Resident is what a worker of the pool is expected to hold, for the time when none is loaded.
	Resident int64
	Alone    bool    // no other job runs on the device at the same time
	MaxScale float64 // largest batch scale to try; 0 means 1
}

// Need is what a job may add to its worker's resident; bytes.
type Need struct {
	Usual int64 // nearly always enough: its reservation
	Most  int64 // at worst; less than Usual counts as Usual
}

type waiting struct {
	Job
	seq       uint64
	overtaken int
	claim     *account // where it goes once it is due
}

// Wait puts a job into the queue. A job whose ID is known already is ignored.
func (l *Ledger) Wait(j Job) {
	if l.running[j.ID] != nil || l.waiting(j.ID) != nil {
		return
	}
	l.arrivals++
	l.queue = append(l.queue, &waiting{Job: j, seq: l.arrivals})
}

// Return puts a job that was granted and did not begin back where it was in the queue: its wait counts as one. It reports false when the job isn't
// running.
func (l *Ledger) Return(job string) bool {
	h := l.running[job]
	if h == nil {
		return false
	}
	w := h.job
	l.Finish(job)
	at, _ := slices.BinarySearchFunc(l.queue, w.seq, func(other *waiting, seq uint64) int { return cmp.Compare(other.seq, seq) })
	l.queue = slices.Insert(l.queue, at, w)
	return true
}

// Forget takes a waiting job out of the queue.
func (l *Ledger) Forget(id string) {
	l.queue = slices.DeleteFunc(l.queue, func(w *waiting) bool { return w.ID == id })
}

func (l *Ledger) waiting(id string) *waiting {
	if i := slices.IndexFunc(l.queue, func(w *waiting) bool { return w.ID == id }); i >= 0 {
		return l.queue[i]
	}
	return nil
}

func (l *Ledger) due(w *waiting) bool { return w.overtaken >= l.policy.Overtakes[w.Lane] }

// ranked is the queue in the order in which jobs are looked at: those that are due, then by lane, then by arrival.
func (l *Ledger) ranked() []*waiting {
	list := slices.Clone(l.queue)
	slices.SortStableFunc(list, func(x, y *waiting) int {
		dueX, dueY := l.due(x), l.due(y)
		switch {
		case dueX && dueY:
			return cmp.Compare(x.seq, y.seq)
		case dueX:
			return -1
		case dueY:
			return 1
		}
		return cmp.Or(cmp.Compare(x.Lane, y.Lane), cmp.Compare(x.seq, y.seq))
	})
	return list
}

// first reports whether no job of its pool and lane is ahead of w.
func (l *Ledger) first(w *waiting) bool {
	for _, other := range l.queue {
		if other.Pool == w.Pool && other.Lane == w.Lane {
			return other == w
		}
	}
	return false
}

// claims says which due job each device waits for.
func (l *Ledger) claims() map[*account]*waiting {
	var claims map[*account]*waiting
	for _, w := range l.queue {
		if !l.due(w) {
			continue
		}
		if w.claim == nil || claims[w.claim] != nil || !l.possible(w, w.claim) {
			w.claim = l.target(w, claims)
		}
		if w.claim != nil {
			if claims == nil {
				claims = map[*account]*waiting{}
			}
			claims[w.claim] = w
		}
	}
	return claims
}

// target is the device on which w has the best prospect, of those that nobody has claimed.
func (l *Ledger) target(w *waiting, claimed map[*account]*waiting) *account {
	var best *account
	var most int64
	for _, a := range l.accounts {
		if claimed[a] != nil || !l.possible(w, a) {
			continue
		}
		if spare := a.free() + int64(a.of(w.Pool)); best == nil || spare > most {
			best, most = a, spare
		}
	}
	return best
}
