package ledger

// Book is one device's books at one moment.
type Book struct {
	Device    string `json:"device"`
	Total     int64  `json:"total"`
	Reserve   int64  `json:"reserve"`
	Strangers int64  `json:"strangers"`
	Residents int64  `json:"residents"`
	Reserved  int64  `json:"reserved"`
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
			Free: a.free(), Workers: len(a.holders), Jobs: a.jobs(), Closed: a.closed,
		})
	}
	return books
}

// On returns the device on which a holder is, "" when it holds nothing.
func (l *Ledger) On(holder string) string {
	if h := l.holders[holder]; h != nil {
		return h.at.ID
	}
	return ""
}

// Held returns what a holder holds without its job.
func (l *Ledger) Held(holder string) int64 {
	if h := l.holders[holder]; h != nil {
		return h.resident
	}
	return 0
}
