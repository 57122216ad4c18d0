package ledger

import "fmt"

// lately is how many jobs make up what a pool's jobs need of late.
const lately = 16

// note remembers what a pool's jobs need of late.
func (l *Ledger) note(pool string, n Need) {
	t, known := l.typical[pool]
	if !known {
		t = n
	}
	l.typical[pool] = Need{Usual: t.Usual + (n.Usual-t.Usual)/lately, Most: t.Most + (n.Most-t.Most)/lately}
}

// worth reports whether a device has room for so many workers of a pool that work at the same time, on jobs like those of late. More of them would only
// take memory from each other's jobs.
func (l *Ledger) worth(pool string, a *account, resident int64, workers int) bool {
	t, known := l.typical[pool]
	if !known || workers <= 1 {
		return true
	}
	room := a.capacity()
	for _, h := range a.holders {
		if h.pool != pool || h.leaving {
			room -= h.resident + h.reserved
		}
	}
	return int64(workers)*(resident+t.Usual)+t.Most-t.Usual <= room
}

// thin evicts an idle worker whose memory a job lacks that could run on another idle worker of its pool.
func (l *Ledger) thin(w *waiting) []Eviction {
	for _, a := range l.accounts {
		if a.closed != "" || a.outgoing() > 0 {
			continue
		}
		_, need, ok := l.scale(w, a, l.residentOf(w, a))
		if !ok || a.takes(need) <= a.free() {
			continue
		}
		var own []*holder
		for _, h := range a.idle() {
			if h.pool == w.Pool {
				own = append(own, h)
			}
		}
		if len(own) > 1 {
			return a.evict(own[:1], 1, fmt.Sprintf("job %s needs %s and %s are free on %s", w.ID, Size(a.takes(need)), Size(a.free()), a.ID))
		}
	}
	return nil
}
