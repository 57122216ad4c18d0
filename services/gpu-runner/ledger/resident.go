package ledger

import (
	"fmt"
	"slices"
)

// Holder is somebody who wants to hold memory of a device for as long as it lives.
type Holder struct {
	Name   string // unique
	Pool   string // whose jobs it does; "" does none
	Device string
	Bytes  int64 // expected; what was measured comes with Loaded
	// Headroom must be free beside it, or it would be of no use once loaded. It isn't booked.
	Headroom int64
	Pinned   bool // a shared server: not evicted to make room for others, only when its device is closed
}

// Load books a holder before it is started. The error is a *Refusal with the reason.
func (l *Ledger) Load(h Holder) error {
	refuse := func(format string, args ...any) error {
		return &Refusal{Subject: h.Name, Reason: fmt.Sprintf(format, args...)}
	}
	a := l.account(h.Device)
	switch {
	case a == nil:
		return refuse("there is no device %q", h.Device)
	case l.holders[h.Name] != nil:
		return refuse("it holds memory already")
	case h.Bytes < 0 || h.Headroom < 0:
		return refuse("it asks for %d bytes and headroom of %d", h.Bytes, h.Headroom)
	case a.closed != "":
		return refuse("device %s is closed: %s", a.ID, a.closed)
	case a.free() < 0:
		return refuse("device %s is overbooked: %s", a.ID, a.sum())
	}
	if by := l.claims()[a]; by != nil && by.Pool != h.Pool {
		return refuse("job %s has waited long and is next on %s", by.ID, a.ID)
	}
	if need := h.Bytes + h.Headroom; need > a.free() {
		return refuse("it needs %s on %s and %s are free: %s", Size(need), a.ID, Size(a.free()), a.sum())
	}
	held := &holder{name: h.Name, pool: h.Pool, at: a, resident: h.Bytes, pinned: h.Pinned, used: l.uses}
	l.holders[h.Name] = held
	a.holders = append(a.holders, held)
	return nil
}

// Loaded tells what a holder was measured to hold without a job: after its start, and whenever it is measured again.
func (l *Ledger) Loaded(name string, bytes int64) {
	if h := l.holders[name]; h != nil {
		h.resident, h.loaded = max(0, bytes), true
	}
}

// Leaving tells that a holder will end: it gets no more jobs.
func (l *Ledger) Leaving(name string) {
	if h := l.holders[name]; h != nil {
		h.leaving = true
	}
}

// Gone tells that a holder has ended and that the device has its memory back. A job it had is over too.
func (l *Ledger) Gone(name string) {
	h := l.holders[name]
	if h == nil {
		return
	}
	if h.job != nil {
		delete(l.running, h.job.ID)
	}
	delete(l.holders, name)
	h.at.holders = slices.DeleteFunc(h.at.holders, func(other *holder) bool { return other == h })
}

// Fit returns the device that would take a holder of a pool now, the one with most room; headroom counts with its bytes.
func (l *Ledger) Fit(pool string, bytes int64) (device string, ok bool) {
	claims := l.claims()
	var best *account
	for _, a := range l.accounts {
		if by := claims[a]; a.closed != "" || a.free() < max(bytes, 0) || (by != nil && by.Pool != pool) {
			continue
		}
		if best == nil || a.free() > best.free() {
			best = a
		}
	}
	if best == nil {
		return "", false
	}
	return best.ID, true
}

// Place says what one more worker of a pool should be, and where: it is for the first waiting job that finds neither an idle worker nor one that is
// being loaded on a device where it could run. It reports false when there is no such job, or no room.
func (l *Ledger) Place(pool string) (Holder, bool) {
	claims := l.claims()
	taken := map[*holder]bool{}
	promised := map[*account]int64{} // to jobs that have a worker but don't run yet
	for _, w := range l.ranked() {
		if w.Pool != pool {
			continue
		}
		if h := l.prospect(w, taken); h != nil {
			taken[h] = true
			_, need, _ := l.scale(w, h.at, h.resident)
			promised[h.at] += h.at.takes(need)
			continue
		}
		var best Holder
		var most int64
		for _, a := range l.accounts {
			if by := claims[a]; !l.possible(w, a) || (by != nil && by.Pool != pool) {
				continue
			}
			resident := l.residentOf(w, a)
			if !l.worth(pool, a, resident, a.of(pool)+1) {
				continue
			}
			_, need, _ := l.scale(w, a, resident)
			if room := a.free() - promised[a]; room >= resident+a.takes(need) && (best.Device == "" || room > most) {
				best, most = Holder{Pool: pool, Device: a.ID, Bytes: resident, Headroom: a.takes(need)}, room
			}
		}
		return best, best.Device != ""
	}
	return Holder{}, false
}

// prospect is a worker without a job that could do w, and that isn't taken.
func (l *Ledger) prospect(w *waiting, taken map[*holder]bool) *holder {
	for _, a := range l.accounts {
		for _, h := range a.holders {
			if h.pool == w.Pool && h.job == nil && !h.leaving && !taken[h] && l.possible(w, a) {
				return h
			}
		}
	}
	return nil
}

// Using tells what a holder was measured to hold while it has a job. Where that is more than what is booked, the job's reservation grows: a fact, which
// may leave a debt.
func (l *Ledger) Using(name string, bytes int64) {
	if h := l.holders[name]; h != nil && h.job != nil && h.loaded {
		h.reserved = max(h.reserved, bytes-h.resident)
		h.most = max(h.most, h.reserved)
	}
}
