package ledger

import "slices"

// Grant is a decision to start a job. Bytes of the worker's device are booked for it until Finish, or until the worker is Gone.
type Grant struct {
	Job    string
	Worker string
	Device string
	Bytes  int64
	Scale  float64 // of the engine's batches
}

// Next starts the first job of a pool that may start now on one of the idle workers, which it chooses. It reports false when there is none.
func (l *Ledger) Next(pool string, idle []string) (Grant, bool) {
	if len(l.queue) == 0 || len(idle) == 0 {
		return Grant{}, false
	}
	claims := l.claims()
	for _, w := range l.ranked() {
		if w.Pool != pool {
			continue
		}
		if h, bytes, scale := l.place(w, idle, claims); h != nil {
			l.overtake(w, h.at)
			l.Forget(w.ID)
			l.uses++
			h.job, h.reserved, h.used = w, bytes, l.uses
			l.running[w.ID] = h
			return Grant{Job: w.ID, Worker: h.name, Device: h.at.ID, Bytes: bytes, Scale: scale}, true
		}
	}
	return Grant{}, false
}

// Finish gives back what was booked for a job.
func (l *Ledger) Finish(job string) {
	if h := l.running[job]; h != nil {
		h.job, h.reserved = nil, 0
		delete(l.running, job)
	}
}

// place finds the worker on which w may start now: on the device with most room left.
func (l *Ledger) place(w *waiting, idle []string, claims map[*account]*waiting) (best *holder, bytes int64, scale float64) {
	for _, name := range idle {
		h := l.holders[name]
		if h == nil || !h.loaded || h.job != nil || h.leaving || h.pool != w.Pool || h.at.closed != "" {
			continue
		}
		if by := claims[h.at]; by != nil && by != w {
			continue
		}
		if w.Alone && h.at.jobs() > 0 {
			continue
		}
		s, need, ok := l.scale(w, h.at, h.resident)
		if !ok || need > h.at.free() {
			continue
		}
		if best == nil || h.at.free() > best.at.free() {
			best, bytes, scale = h, need, s
		}
	}
	return best, bytes, scale
}

// scale is the largest batch scale at which w fits on a device when nobody else is there, and what it needs then. Smaller ones are for
// jobs that wouldn't fit otherwise: waiting is better than working in small steps.
func (l *Ledger) scale(w *waiting, a *account, resident int64) (scale float64, need int64, ok bool) {
	for _, s := range l.policy.Scales {
		if w.MaxScale > 0 && s > w.MaxScale {
			continue
		}
		if need = max(0, w.Need(a.ID, s)); need <= a.capacity()-resident {
			return s, need, true
		}
	}
	return 0, need, false
}

// possible reports whether w could run on a device as things are, were it alone there.
func (l *Ledger) possible(w *waiting, a *account) bool {
	_, _, ok := l.scale(w, a, l.residentOf(w, a))
	return ok && a.closed == ""
}

// residentOf is what the worker of w holds, or would hold, on a device.
func (l *Ledger) residentOf(w *waiting, a *account) int64 {
	least := int64(-1)
	for _, h := range a.holders {
		if h.pool == w.Pool && h.loaded && !h.leaving && (least < 0 || h.resident < least) {
			least = h.resident
		}
	}
	if least < 0 {
		return w.Resident
	}
	return least
}

// overtake counts, for every other first of a row who could use this device as well, that w goes before it.
func (l *Ledger) overtake(w *waiting, a *account) {
	for _, other := range l.queue {
		if other == w || (other.seq > w.seq && other.Lane >= w.Lane) || !l.first(other) {
			continue
		}
		// One whose workers are all busy lacks a worker, not memory.
		has := slices.ContainsFunc(a.holders, func(h *holder) bool { return h.pool == other.Pool && h.job == nil && !h.leaving })
		if (has || l.homeless(other.Pool)) && l.possible(other, a) {
			other.overtaken++
		}
	}
}

// homeless reports whether a pool has no worker anywhere.
func (l *Ledger) homeless(pool string) bool {
	return !slices.ContainsFunc(l.accounts, func(a *account) bool { return a.of(pool) > 0 })
}
