package supervise

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/secret"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

// Errors of a start or a conversation that callers decide on.
var (
	// ErrNoHello is wrapped when a worker failed before it said hello: its program or its environment may be broken.
	ErrNoHello = errors.New("the worker never said hello")
	// ErrGone says that the worker had died before it got the request, so that the request is not to blame.
	ErrGone = errors.New("the worker was gone before the request")
)

// tracebackBytes is kept of an engine's traceback: its end says what went wrong.
const tracebackBytes = 64 << 10

// Request is a page range to convert.
type Request struct {
	ID      string // names the conversion in messages and errors
	Path    string // of the document; absolute
	Range   pages.Range
	Options protocol.Options
	OutDir  string // absolute, exists, empty
	// Total is the time the work may take, Silence the time that may pass without progress. When either is over the worker is killed.
	Total, Silence time.Duration
	BatchScale     float64 // of the engine's own batch sizes; 0 means 1
	// Passwords may open the document. They are revealed only to the worker, on its pipe.
	Passwords []secret.Text
}

func (r Request) subject() string { return r.ID + " pages " + r.Range.String() }

func (r Request) message() *protocol.Convert {
	scale := r.BatchScale
	if scale == 0 {
		scale = 1
	}
	m := &protocol.Convert{
		ID: r.ID, Path: r.Path, First: r.Range.First, Last: r.Range.Last, Options: r.Options,
		OutDir: r.OutDir, DeadlineSeconds: r.Total.Seconds(), BatchScale: scale,
	}
	for _, p := range r.Passwords {
		m.Passwords = append(m.Passwords, p.Reveal())
	}
	return m
}

// Convert has the range converted. It calls progress, if not nil, for each sign of life, on the calling goroutine.
//
// The error is a *failure.Error with the class that the engine gave, timeout, crash or host-oom; or invalid-message for a request that can't be
// sent; or ErrGone; or, when ctx ended first, an error without a class. After timeout, crash, host-oom, device-assert, unhealthy, a context that
// isn't intact, and after the end of ctx, the worker is killed: Done tells when it is gone.
func (p *Process) Convert(ctx context.Context, r Request, progress func(protocol.Progress)) (protocol.Result, error) {
	const op = "convert"
	if _, err := protocol.Encode(r.message()); err != nil {
		return protocol.Result{}, failure.New(failure.InvalidMessage, op, r.subject(), err)
	}
	if ctx.Err() != nil { // not worth a worker
		return protocol.Result{}, fmt.Errorf("%s %s: %w", op, r.subject(), endOf(ctx))
	}
	if err := p.take(ctx); err != nil {
		return protocol.Result{}, err
	}
	defer func() { <-p.turn }()
	r, leave, err := p.enter(r)
	if err != nil {
		return protocol.Result{}, err
	}
	defer leave()
	if err := p.send(r.message()); err != nil {
		return protocol.Result{}, p.unsent(op, r.subject(), err)
	}
	total, silence := time.NewTimer(r.Total), time.NewTimer(r.Silence)
	defer total.Stop()
	defer silence.Stop()
	last := "no progress at all"
	for {
		select {
		case m, open := <-p.inbox:
			switch m := m.(type) {
			case nil:
				if !open {
					return protocol.Result{}, p.lost(op, r.subject())
				}
			case *protocol.Progress:
				if m.ID != r.ID {
					return protocol.Result{}, p.outOfTurn(op, r.subject(), m)
				}
				last = fmt.Sprintf("last progress: %s %d/%d", m.Phase, m.Done, m.Total)
				silence.Reset(r.Silence)
				if progress != nil {
					progress(*m)
				}
			case *protocol.Result:
				if m.ID != r.ID {
					return protocol.Result{}, p.outOfTurn(op, r.subject(), m)
				}
				if err := covers(r.Range, m); err != nil {
					return protocol.Result{}, p.condemn(failure.New(failure.EngineError, op, r.subject(), err))
				}
				return *m, nil
			case *protocol.EngineError:
				if m.ID != r.ID {
					return protocol.Result{}, p.outOfTurn(op, r.subject(), m)
				}
				err := engineFailure(op, r.subject(), m)
				if !m.ContextIntact || destroys(m.Class) {
					return protocol.Result{}, p.condemn(err)
				}
				return protocol.Result{}, p.withOutput(err)
			default:
				return protocol.Result{}, p.outOfTurn(op, r.subject(), m)
			}
		case <-total.C:
			return protocol.Result{}, p.condemn(failure.Newf(failure.Timeout, op, r.subject(), "not done after %s; %s", r.Total, last))
		case <-silence.C:
			return protocol.Result{}, p.condemn(failure.Newf(failure.Timeout, op, r.subject(), "silent for %s; %s", r.Silence, last))
		case <-ctx.Done():
			err := fmt.Errorf("%s %s: %w", op, r.subject(), endOf(ctx))
			p.Kill(err)
			return protocol.Result{}, err
		}
	}
}

// Probe has the worker do a real operation on its device. The error is a *failure.Error of class unhealthy, or a worker's death; the worker is
// killed then. A worker that is converting is not asked: Probe waits for its turn, within limit.
func (p *Process) Probe(ctx context.Context, limit time.Duration) (string, error) {
	const op = "probe worker"
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := p.take(ctx); err != nil {
		return "", err
	}
	defer func() { <-p.turn }()
	id := "probe-" + p.cfg.Name
	if err := p.send(&protocol.Probe{ID: id}); err != nil {
		return "", p.unsent(op, p.cfg.Name, err)
	}
	select {
	case m, open := <-p.inbox:
		if !open {
			return "", p.lost(op, p.cfg.Name)
		}
		answer, is := m.(*protocol.Probed)
		switch {
		case !is || answer.ID != id:
			return "", p.outOfTurn(op, p.cfg.Name, m)
		case !answer.OK:
			return "", p.condemn(failure.New(failure.Unhealthy, op, p.cfg.Name, errors.New(answer.Detail)))
		}
		return answer.Detail, nil
	case <-ctx.Done():
		return "", p.condemn(failure.New(failure.Unhealthy, op, p.cfg.Name, fmt.Errorf("no answer: %w", ctx.Err())))
	}
}

// take waits for a turn to converse, with a worker that is alive and has nothing left to say from before.
func (p *Process) take(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
	case <-p.done:
		return p.gone()
	case <-ctx.Done():
		return fmt.Errorf("worker %s: waiting for its turn: %w", p.cfg.Name, endOf(ctx))
	}
	select {
	case m, open := <-p.inbox:
		defer func() { <-p.turn }()
		if open {
			_ = p.outOfTurn("await a request", p.cfg.Name, m)
		} else {
			_ = p.lost("await a request", p.cfg.Name)
		}
		return p.gone()
	default:
		return nil
	}
}

func (p *Process) gone() error {
	if err := p.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return ErrGone
}

// unsent explains a request that couldn't be written: a dead worker, or one that doesn't read.
func (p *Process) unsent(op, subject string, cause error) error {
	_ = p.condemn(failure.New(failure.Unhealthy, op, subject, cause))
	return p.gone()
}

// endOf says why ctx has ended: its own error, which callers look for, and the cause. It is nil while ctx goes on.
func endOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if err == nil || errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// outOfTurn condemns a worker that says what nobody asked for.
func (p *Process) outOfTurn(op, subject string, m protocol.Message) error {
	return p.condemn(failure.New(failure.Crash, op, subject, fmt.Errorf("%w: %q out of turn", protocol.ErrBroken, protocol.Kind(m))))
}

// covers reports how a result differs from the range that was asked for.
func covers(r pages.Range, m *protocol.Result) error {
	if len(m.Pages) != r.Len() {
		return fmt.Errorf("the engine returned %d pages for a range of %d", len(m.Pages), r.Len())
	}
	for i, page := range m.Pages {
		if page.Page != r.First+i {
			return fmt.Errorf("the engine returned page %d where page %d belongs", page.Page, r.First+i)
		}
	}
	return nil
}

// destroys reports whether a failure of this class leaves a process that nobody may use again, whatever the engine thinks.
func destroys(c failure.Class) bool {
	switch c {
	case failure.DeviceAssert, failure.Crash, failure.HostOOM, failure.Timeout, failure.Unhealthy:
		return true
	}
	return false
}

// engineFailure is what the engine said, as an error.
func engineFailure(op, subject string, m *protocol.EngineError) *failure.Error {
	message := strings.TrimSpace(m.Message)
	if message == "" {
		message = "the engine gave no message"
	}
	if m.Page != nil {
		message = fmt.Sprintf("page %d: %s", *m.Page, message)
	}
	traceback := m.Traceback
	if cut := len(traceback) - tracebackBytes; cut > 0 {
		traceback = strings.ToValidUTF8(traceback[cut:], "")
	}
	return failure.New(m.Class, op, subject, &EngineFailure{Page: m.Page, ContextIntact: m.ContextIntact, Memory: m.Memory, message: message}).
		WithDetail(traceback)
}

// EngineFailure is in the chain of an error that the engine itself reported.
type EngineFailure struct {
	Page          *int // nil when not known
	ContextIntact bool
	Memory        protocol.Peak

	message string
}

func (e *EngineFailure) Error() string { return e.message }
