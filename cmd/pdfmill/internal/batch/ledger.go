package batch

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// ledger collects what became of each input and keeps report.json up to date.
type ledger struct {
	dir     string
	inputs  []Input
	earlier []Document
	started time.Time

	mu    sync.Mutex
	done  []*Document // by the index of the input; nil while it has not ended
	ended int
	dirty bool
}

func newLedger(dir string, inputs []Input, earlier []Document, started time.Time) *ledger {
	return &ledger{dir: dir, inputs: inputs, earlier: earlier, started: started, done: make([]*Document, len(inputs))}
}

// end records what became of input i. Only the first call for an input counts; it reports whether this was it.
func (l *ledger) end(i int, d Document) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done[i] != nil {
		return false
	}
	l.done[i], l.dirty = &d, true
	l.ended++
	return true
}

// report is the state of things.
func (l *ledger) report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Report{Documents: []Document{}, Earlier: l.earlier}
	for i, d := range l.done {
		if d == nil {
			r.Unfinished = append(r.Unfinished, l.inputs[i].Path)
			continue
		}
		r.Documents = append(r.Documents, *d)
	}
	r.Totals = sum(r.Documents, len(r.Unfinished), time.Since(l.started).Seconds())
	return r
}

func (l *ledger) complete() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended == len(l.inputs)
}

// unsaved is why the report could not be saved while a run went on.
type unsaved struct{ error }

// keep saves the report while the run goes on, at most once a second and never so often that saving a long one is what the run does.
func (l *ledger) keep(ctx context.Context, fail func(error)) {
	pause := time.Second
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		l.mu.Lock()
		dirty := l.dirty
		l.dirty = false
		l.mu.Unlock()
		if !dirty {
			continue
		}
		began := time.Now()
		if err := l.report().Save(l.dir); err != nil {
			fail(unsaved{err})
			return
		}
		pause = max(time.Second, 20*time.Since(began))
	}
}

func sortDocuments(documents []Document) {
	slices.SortFunc(documents, func(a, b Document) int {
		return cmp.Or(cmp.Compare(a.Input, b.Input), cmp.Compare(a.File, b.File))
	})
}
