package ledger

import "slices"

// Grant is a decision to start a job. Bytes of the worker's device are booked for it until Finish or Return, or until the worker is Gone.
type Grant struct {
	Job    string
	Worker string
	Device string
	Bytes  int64   // its reservation
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
		if h, need, scale := l.place(w, idle, claims); h != nil {
			l.overtake(w, h.at)
			l.Forget(w.ID)
			l.uses++
			l.note(pool, need)
			h.job, h.reserved, h.most, h.used = w, need.Usual, need.Most, l.uses
			l.running[w.ID] = h
			return Grant{Job: w.ID, Worker: h.name, Device: h.at.ID, Bytes: need.Usual, Scale: scale}, true
		}
	}
	return Grant{}, false
}

// Finish gives back what was booked for a job.
func (l *Ledger) Finish(job string) {
	if h := l.running[job]; h != nil {
		h.job, h.reserved, h.most = nil, 0, 0
		delete(l.running, job)
	}
}

// place finds the worker on which w may start now: on the device with most room left.
func (l *Ledger) place(w *waiting, idle []string, claims map[*account]*waiting) (best *holder, need Need, scale float64) {
	for _, name := range idle {
		h := l.holders[name]
		if h == nil || !h.loaded || h.job != nil || h.leaving || h.pool != w.Pool || h.at.closed != "" {
			continue
		}
		if by := claims[h.at]; by != nil && by != w {
			continue
		}
		if (w.Alone && h.at.jobs() > 0) || h.at.alone() != nil {
			continue
		}
		s, n, ok := l.scale(w, h.at, h.resident)
		if !ok || h.at.takes(n) > h.at.free() {
			continue
		}
		if best == nil || h.at.free() > best.at.free() {
			best, need, scale = h, n, s
		}
	}
	return best, need, scale
}

// scale is the largest batch scale at which w fits on a device when nobody else is there, come what may, and what it needs then. Smaller ones are for
// jobs that wouldn't fit otherwise: waiting is better than working in small steps. Where not even the smallest is safe, it must do for what is usual.
func (l *Ledger) scale(w *waiting, a *account, resident int64) (scale float64, need Need, ok bool) {
	room := a.capacity() - resident
	for _, s := range l.policy.Scales {
		if w.MaxScale > 0 && s > w.MaxScale {
			continue
		}
		need = w.Need(a.ID, s)
		need.Usual = max(0, need.Usual)
		need.Most = max(need.Usual, need.Most)
		if need.Most <= room {
			return s, need, true
		}
		scale = s
	}
	need.Most = max(need.Usual, min(need.Most, room))
	return scale, need, need.Usual <= room
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
