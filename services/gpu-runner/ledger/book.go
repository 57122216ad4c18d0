package ledger

// Book is one device's books at one moment.
type Book struct {
	Device    string `json:"device"`
	Total     int64  `json:"total"`
	Reserve   int64  `json:"reserve"`
	Strangers int64  `json:"strangers"`
	Residents int64  `json:"residents"`
	Reserved  int64  `json:"reserved"`
	Surge     int64  `json:"surge"`
	Free      int64  `json:"free"` // negative: debt
	Workers   int    `json:"workers"`
	Jobs      int    `json:"jobs"`
	Closed    string `json:"closed,omitempty"`
}

// Books returns the books of all devices.
func (l *Ledger) Books() []Book {
	books := make([]Book, 0, len(l.accounts))
	for _, a := range l.accounts {
		books = append(books, Book{
			Device: a.ID, Total: a.Total, Reserve: a.Reserve, Strangers: a.strangers, Residents: a.residents(), Reserved: a.reserved(),
			Surge: a.surge(), Free: a.free(), Workers: len(a.holders), Jobs: a.jobs(), Closed: a.closed,
		})
	}
	return books
}

// Works reports whether a holder has a job.
func (l *Ledger) Works(holder string) bool {
	h := l.holders[holder]
	return h != nil && h.job != nil
}

// IsLeaving reports whether a holder gets no more jobs.
func (l *Ledger) IsLeaving(holder string) bool {
	h := l.holders[holder]
	return h != nil && h.leaving
}

// Where returns the device on which a job runs, "" when it doesn't.
func (l *Ledger) Where(job string) string {
	if h := l.running[job]; h != nil {
		return h.at.ID
	}
	return ""
}

// Held returns what a holder holds without its job, and what is reserved for that.
func (l *Ledger) Held(holder string) (resident, reserved int64) {
	if h := l.holders[holder]; h != nil {
		return h.resident, h.reserved
	}
	return 0, 0
}

// Waiting counts the jobs of a pool that wait.
func (l *Ledger) Waiting(pool string) (n int) {
	for _, w := range l.queue {
		if w.Pool == pool {
			n++
		}
	}
	return n
}
