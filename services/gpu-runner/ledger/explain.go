package ledger

import (
	"fmt"
	"strings"
)

// Refusal says why something will not be done, in words for people.
type Refusal struct {
	Subject string // a job or a worker
	Reason  string
}

func (r *Refusal) Error() string { return r.Subject + ": " + r.Reason }

// Impossible says why a waiting job can never run: on no device is there room for it, alone, in the smallest batches, with no stranger there. It
// returns nil when it can, when the job isn't waiting, and while no device is known.
func (l *Ledger) Impossible(job string) *Refusal {
	w := l.waiting(job)
	if w == nil || len(l.accounts) == 0 {
		return nil
	}
	var most *account
	var least int64
	smallest := l.policy.Scales[len(l.policy.Scales)-1]
	for _, a := range l.accounts {
		need := w.Need(a.ID, smallest).Usual + l.residentOf(w, a)
		if need <= a.limit() {
			return nil
		}
		if most == nil || a.limit() > most.limit() {
			most, least = a, need
		}
	}
	return &Refusal{Subject: w.ID, Reason: fmt.Sprintf("it needs %s with its worker in the smallest batches, and the largest device, %s, has %s",
		Size(least), most.ID, Size(most.limit()))}
}

// Why says in one sentence what a waiting job waits for.
func (l *Ledger) Why(job string) string {
	w := l.waiting(job)
	if w == nil {
		return "it does not wait"
	}
	if r := l.Impossible(job); r != nil {
		return r.Reason
	}
	if len(l.accounts) == 0 {
		return "no device is known yet"
	}
	claims := l.claims()
	var parts []string
	for _, a := range l.accounts {
		parts = append(parts, l.why(w, a, claims[a]))
	}
	text := strings.Join(parts, "; ")
	if w.overtaken > 0 && !l.due(w) {
		text += fmt.Sprintf("; overtaken %d times, at most %d", w.overtaken, l.policy.Overtakes[w.Lane])
	}
	return text
}

func (l *Ledger) why(w *waiting, a *account, by *waiting) string {
	at := "on " + a.ID + ": "
	_, n, ok := l.scale(w, a, l.residentOf(w, a))
	need := a.takes(n)
	idle, busy, coming := 0, 0, 0
	for _, h := range a.holders {
		switch {
		case h.pool != w.Pool || h.leaving:
		case h.job != nil:
			busy++
		case h.loaded:
			idle++
		default:
			coming++
		}
	}
	switch {
	case a.closed != "":
		return at + "closed: " + a.closed
	case !ok:
		return at + fmt.Sprintf("it needs %s and no more than %s can be had while others use the device: %s", Size(n.Usual), Size(a.capacity()), a.sum())
	case by != nil && by != w:
		return at + "job " + by.ID + " has waited longer and goes first"
	case a.free() < 0:
		return at + "overbooked, workers are being unloaded: " + a.sum()
	case idle+busy+coming == 0:
		return at + fmt.Sprintf("no worker of %s is loaded; one needs %s and %s are free: %s", w.Pool, Size(w.Resident+need), Size(a.free()), a.sum())
	case idle == 0:
		return at + fmt.Sprintf("no worker of %s is idle: %d busy, %d starting", w.Pool, busy, coming)
	case w.Alone && a.jobs() > 0:
		return at + fmt.Sprintf("it must be alone there, and %d jobs run", a.jobs())
	case a.alone() != nil:
		return at + "job " + a.alone().ID + " runs there alone"
	case need > a.free():
		return at + fmt.Sprintf("it needs %s and %s are free: %s", Size(need), Size(a.free()), a.sum())
	}
	return at + "it may start"
}

// sum writes the books of a device as the sum that they are.
func (a *account) sum() string {
	return fmt.Sprintf("%s in all − %s reserve − %s of strangers − %s held by %d workers − %s reserved for %d jobs − %s should one need more",
		Size(a.Total), Size(a.Reserve), Size(a.strangers), Size(a.residents()), len(a.holders), Size(a.reserved()), a.jobs(), Size(a.surge()))
}

// Size writes bytes for people.
func Size(n int64) string {
	const kib, mib, gib = 1 << 10, 1 << 20, 1 << 30
	f := float64(n)
	switch abs := max(n, -n); {
	case abs >= gib:
		return fmt.Sprintf("%.1f GiB", f/gib)
	case abs >= mib:
		return fmt.Sprintf("%.0f MiB", f/mib)
	case abs >= kib:
		return fmt.Sprintf("%.0f KiB", f/kib)
	}
	return fmt.Sprintf("%d B", n)
}
