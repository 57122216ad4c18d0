package ledger

import "slices"

// Device is memory that workers share.
type Device struct {
	ID      string // unique
	Total   int64  // what the driver says it has
	Reserve int64  // never given to anybody: fragments, the driver's own needs, errors of measurement
}

// Policy is what may be chosen. Zero fields get the defaults.
type Policy struct {
	// Overtakes is how often a job that is first of its pool and lane may be overtaken, by lane; default 8, 32 and 64.
	Overtakes [3]int
	// Scales are the batch scales at which a job may be tried, largest first; default 1, ½ and ¼.
	Scales []float64
}

func (p Policy) withDefaults() Policy {
	for lane, fallback := range [3]int{8, 32, 64} {
		if p.Overtakes[lane] <= 0 {
			p.Overtakes[lane] = fallback
		}
	}
	if len(p.Scales) == 0 {
		p.Scales = []float64{1, 0.5, 0.25}
	}
	return p
}

// Ledger keeps the books. Use New. It is not safe for concurrent use.
type Ledger struct {
	policy   Policy
	accounts []*account // in the order in which they were opened
	holders  map[string]*holder
	queue    []*waiting // in order of arrival
	arrivals uint64
	running  map[string]*holder
	typical  map[string]Need // what each pool's jobs needed of late
	uses     uint64          // counts grants: the time by which the least recently used worker is found
}

// New returns a ledger without devices.
func New(p Policy) *Ledger {
	return &Ledger{policy: p.withDefaults(), holders: map[string]*holder{}, running: map[string]*holder{}, typical: map[string]Need{}}
}

// Open adds a device, or tells new figures of a known one.
func (l *Ledger) Open(d Device) {
	if a := l.account(d.ID); a != nil {
		a.Device = d
		return
	}
	l.accounts = append(l.accounts, &account{Device: d})
}

// Strangers tells what others hold of a device now. Unknown devices are ignored.
func (l *Ledger) Strangers(device string, bytes int64) {
	if a := l.account(device); a != nil {
		a.strangers = max(0, bytes)
	}
}

// Close stops everything new on a device, for a reason that people will read; Evict then names all of its idle workers. Reopen ends that.
func (l *Ledger) Close(device, reason string) {
	if a := l.account(device); a != nil {
		a.closed = reason
	}
}

// Reopen is the opposite of Close.
func (l *Ledger) Reopen(device string) { l.Close(device, "") }

func (l *Ledger) account(device string) *account {
	if i := slices.IndexFunc(l.accounts, func(a *account) bool { return a.ID == device }); i >= 0 {
		return l.accounts[i]
	}
	return nil
}
