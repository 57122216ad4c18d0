package ledger

import "slices"

// account is one device's page in the books.
type account struct {
	Device
	strangers int64
	closed    string // why nothing new starts here; "": open
	holders   []*holder
}

// holder is whoever holds memory: a worker, or a shared server.
type holder struct {
	name     string
	pool     string
	at       *account
	resident int64
	loaded   bool // measured; before that resident is what was booked
	pinned   bool // not evicted for others
	leaving  bool // named by Evict, or by its owner
	job      *waiting
	reserved int64  // for job
	most     int64  // what job may come to at worst
	used     uint64 // when it last got a job
}

func (h *holder) idle() bool { return h.loaded && h.job == nil && !h.leaving && !h.pinned }

// limit is what could ever be ours.
func (a *account) limit() int64 { return max(0, a.Total-a.Reserve) }

// capacity is what can be ours now.
func (a *account) capacity() int64 { return max(0, a.Total-a.Reserve-a.strangers) }

func (a *account) residents() (n int64) {
	for _, h := range a.holders {
		n += h.resident
	}
	return n
}

func (a *account) reserved() (n int64) {
	for _, h := range a.holders {
		n += h.reserved
	}
	return n
}

// surge is kept for the job that may exceed its reservation by most: that two do so at the same time is rare enough.
func (a *account) surge() (n int64) {
	for _, h := range a.holders {
		n = max(n, h.most-h.reserved)
	}
	return n
}

// free is what may be given away; negative free is debt.
func (a *account) free() int64 { return a.capacity() - a.residents() - a.reserved() - a.surge() }

// takes is how much of what is free a job would take.
func (a *account) takes(n Need) int64 { return n.Usual + max(0, n.Most-n.Usual-a.surge()) }

func (a *account) jobs() (n int) {
	for _, h := range a.holders {
		if h.job != nil {
			n++
		}
	}
	return n
}

// alone is the job that runs on the device and wants no other beside it; nil: none does.
func (a *account) alone() *waiting {
	for _, h := range a.holders {
		if h.job != nil && h.job.Alone {
			return h.job
		}
	}
	return nil
}

// outgoing is what idle workers hold that were told to leave.
func (a *account) outgoing() (n int64) {
	for _, h := range a.holders {
		if h.leaving && h.job == nil {
			n += h.resident
		}
	}
	return n
}

// idle lists workers that may be evicted, least recently used first.
func (a *account) idle() []*holder {
	var list []*holder
	for _, h := range a.holders {
		if h.idle() {
			list = append(list, h)
		}
	}
	slices.SortStableFunc(list, func(x, y *holder) int {
		switch {
		case x.used < y.used:
			return -1
		case x.used > y.used:
			return 1
		}
		return 0
	})
	return list
}

func (a *account) of(pool string) (n int) {
	for _, h := range a.holders {
		if h.pool == pool && !h.leaving {
			n++
		}
	}
	return n
}
