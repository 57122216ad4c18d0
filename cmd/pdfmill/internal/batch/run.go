package batch

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// Request is what to convert and where to.
type Request struct {
	Inputs []Input
	Dir    string // where output goes, absolute; PrepareDir was called on it
	Shown  string // Dir as people know it, used in the report; default Dir
	Layout Layout // of the output
	// Options of every document; Metadata is the same as object metadata, holding only what was asked for.
	Options  job.Options
	Metadata map[string]string
	Window   int           // documents in the pipeline at once; at least 1
	Grace    time.Duration // for documents in the pipeline when Stop is closed
	// Stop, once closed, ends the run early: nothing new is taken up, what is under way gets Grace.
	Stop     <-chan struct{}
	Stdin    io.Reader
	Progress Progress
	Tally    *Tally // may be nil
	Log      *slog.Logger
}

// Backend is a pipeline that takes documents.
type Backend struct {
	Broker *jet.Broker
	Store  object.Store
	Inbox  string // bucket
	// Discard deletes a document from the inbox once it has ended, where nobody else will look for it.
	Discard bool
	// Close drops the connections; a run calls it when it needs nothing more.
	Close func()
}

// Run converts what a former run did not and returns the report, which it also keeps in Request.Dir while it works. connect is called only when there
// is something to do. The error is that of the pipeline or of the report file: documents that fail are in the report. When ctx ends before
// all documents did, the error is its cause; the report names them as unfinished.
func Run(ctx context.Context, r Request, connect func(context.Context) (Backend, error)) (Report, error) {
	started := time.Now()
	previous, err := LoadReport(r.Dir)
	if err != nil {
		return Report{}, err
	}
	if r.Shown == "" {
		r.Shown = r.Dir
	}
	out := output{dir: r.Dir, shown: r.Shown, layout: r.Layout}
	noted, err := noted(out)
	if err != nil {
		return Report{}, err
	}
	known := newFormer(previous, noted)
	run := &run{
		journal: &journal{path: filepath.Join(r.Dir, journalName)},
		Request: r, out: out, names: Names(r.Inputs, known.stems(out)), pending: map[string]*flight{},
		ledger: newLedger(r.Dir, r.Inputs, known.others(r.Inputs, out), started),
	}
	var todo []int
	for i, in := range r.Inputs {
		if kept, ok := known.kept(in, r.Options, out); ok {
			run.end(i, kept)
		} else if in.Err != nil {
			run.unreadable(i, in.Err, started)
		} else {
			todo = append(todo, i)
		}
	}
	if len(todo) > 0 {
		err = run.convert(ctx, todo, connect)
	}
	r.Progress.Close()
	report := run.ledger.report()
	saved := report.Save(r.Dir)
	if saved == nil {
		saved = run.journal.end()
	} else if errors.As(err, &unsaved{}) {
		err = nil // it was the same
	}
	return report, errors.Join(err, saved)
}

// run is one Run.
type run struct {
	Request
	out     output
	names   []string
	ledger  *ledger
	journal *journal

	backend Backend
	mu      sync.Mutex
	pending map[string]*flight // by object key
	telling sync.Mutex
}

func (r *run) convert(parent context.Context, todo []int, connect func(context.Context) (Backend, error)) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	var err error
	if r.backend, err = connect(ctx); err != nil {
		return err
	}
	var background sync.WaitGroup
	defer background.Wait()
	defer r.backend.Close() // wakes the watch up, which waits for messages
	defer cancel(nil)

	background.Go(func() { r.ledger.keep(ctx, func(err error) { cancel(err) }) })
	background.Go(func() { r.tell(ctx) })
	ready := make(chan struct{})
	background.Go(func() {
		if err := r.backend.Broker.Watch(ctx, false, func() { close(ready) }, r.see); err != nil && ctx.Err() == nil {
			cancel(err)
		}
	})
	select {
	case <-ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r.feed(ctx, cancel, todo)
	return r.outcome(ctx)
}

// outcome tells a run that ended from one that was ended.
func (r *run) outcome(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errGraceOver) && !r.ledger.complete() {
		return cause
	}
	return nil
}

// errGraceOver says that an interrupted run gave what was under way its time.
var errGraceOver = errors.New("interrupted")

// feed submits what is to do, Window at once, and returns when all of it ended or will not end any more.
func (r *run) feed(ctx context.Context, cancel context.CancelCauseFunc, todo []int) {
	window := make(chan struct{}, max(r.Window, 1))
	var flights sync.WaitGroup
	fed := make(chan struct{})
	defer func() { <-fed }()
	go func() {
		defer close(fed)
		select {
		case <-r.Stop:
			timer := time.AfterFunc(r.Grace, func() { cancel(errGraceOver) })
			<-ctx.Done()
			timer.Stop()
		case <-ctx.Done():
		}
	}()
	defer cancel(errGraceOver)
	defer flights.Wait()
	for _, i := range todo {
		select {
		case <-r.Stop:
			return
		case <-ctx.Done():
			return
		case window <- struct{}{}:
		}
		flights.Go(func() {
			r.fly(ctx, i)
			<-window
		})
	}
}

// end records and shows what became of input i.
func (r *run) end(i int, d Document) {
	d.Input, d.File = r.Inputs[i].Path, r.Inputs[i].File
	if !r.ledger.end(i, d) {
		return
	}
	r.telling.Lock()
	defer r.telling.Unlock()
	r.Progress.Document(d)
}

// tell shows how pages come along until ctx ends.
func (r *run) tell(ctx context.Context) {
	if r.Tally == nil {
		return
	}
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			r.tellPages()
			return
		case <-ticker.C:
			r.tellPages()
		}
	}
}

func (r *run) tellPages() {
	done, known := r.Tally.Pages()
	r.telling.Lock()
	defer r.telling.Unlock()
	r.Progress.Pages(done, known)
}
