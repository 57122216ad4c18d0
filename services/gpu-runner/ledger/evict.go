package ledger

import (
	"fmt"
	"slices"
)

// Eviction is an idle worker that must go, and why.
type Eviction struct {
	Worker, Device, Reason string
}

// Evict names the workers that must be unloaded now: all idle ones of a closed device; as many as pay a device's debt; as many as a job needs that
// wouldn't fit even if every other job ended; and an idle one whose memory a job lacks that has another idle worker to run on. The least recently used
// go first. Each is named once, and counts as leaving from then on.
func (l *Ledger) Evict() []Eviction {
	var out []Eviction
	for _, a := range l.accounts {
		switch debt := -a.free() - a.outgoing(); {
		case a.closed != "":
			out = append(out, a.evict(a.idle(), a.limit(), "device "+a.ID+" is closed: "+a.closed)...)
			for _, h := range a.holders {
				if h.pinned && !h.leaving {
					h.leaving = true
					out = append(out, Eviction{h.name, a.ID, "device " + a.ID + " is closed: " + a.closed})
				}
			}
		case debt > 0:
			out = append(out, a.evict(a.idle(), debt, fmt.Sprintf("device %s is overbooked by %s: %s", a.ID, Size(debt), a.sum()))...)
		}
	}
	for _, w := range l.ranked() {
		if l.first(w) {
			out = append(out, l.makeRoom(w)...)
			out = append(out, l.thin(w)...)
		}
	}
	return out
}

// makeRoom evicts for a job that the end of other jobs would not help, once it is due, or the device has nothing else to do. The room is the job's:
// it counts as due from then on, or somebody else would load a worker into it. On a device that another job is next on it must wait: two pools would send away each
// other's workers before those have done anything.
func (l *Ledger) makeRoom(w *waiting) []Eviction {
	a := l.destination(w)
	if a == nil || (!l.due(w) && (a.jobs() > 0 || l.begins(a))) {
		return nil
	}
	if by := l.claims()[a]; by != nil && by != w {
		return nil
	}
	_, n, _ := l.scale(w, a, l.residentOf(w, a))
	need := n.Most
	var keep *holder // the worker that will do it
	for _, h := range a.holders {
		if h.pool == w.Pool && !h.leaving && (keep == nil || (h.job == nil && keep.job != nil) || h.used > keep.used) {
			keep = h
		}
	}
	if keep == nil {
		need += w.Resident
	}
	missing := need - (a.capacity() - a.residents() + a.outgoing())
	if missing <= 0 {
		return nil
	}
	others := slices.DeleteFunc(a.idle(), func(h *holder) bool { return h == keep })
	w.overtaken, w.claim = max(w.overtaken, l.policy.Overtakes[w.Lane]), a
	return a.evict(others, missing, fmt.Sprintf("job %s needs %s on %s", w.ID, Size(need), a.ID))
}

// begins reports whether a job can start on one of a device's idle workers now.
func (l *Ledger) begins(a *account) bool {
	claims := l.claims()
	return slices.ContainsFunc(a.idle(), func(h *holder) bool {
		return slices.ContainsFunc(l.queue, func(w *waiting) bool {
			at, _, _ := l.place(w, []string{h.name}, claims)
			return at != nil
		})
	})
}

// destination is the device for which w waits: the one it has claimed, else one where its pool has a worker, else the best.
func (l *Ledger) destination(w *waiting) *account {
	if w.claim != nil && l.possible(w, w.claim) {
		return w.claim
	}
	for _, a := range l.accounts {
		if a.of(w.Pool) > 0 && l.possible(w, a) {
			return a
		}
	}
	return l.target(w, nil)
}

func (a *account) evict(idle []*holder, bytes int64, reason string) (out []Eviction) {
	for _, h := range idle {
		if bytes <= 0 {
			return out
		}
		h.leaving = true
		bytes -= h.resident
		out = append(out, Eviction{h.name, a.ID, reason})
	}
	return out
}
