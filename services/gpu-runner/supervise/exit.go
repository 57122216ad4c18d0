package supervise

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

// Exit is how a worker ended. It is in the chain of every error about a worker's death.
type Exit struct {
	Code        int            // exit status; -1 after a signal
	Signal      syscall.Signal // 0: none
	CoreDumped  bool
	OutOfMemory bool  // the kernel killed it for memory
	Bound       int64 // bytes that it might have, when it was killed for going beyond; 0: the service or the machine had too little
}

func exitOf(state *os.ProcessState) *Exit {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return &Exit{Code: state.ExitCode()}
	}
	return &Exit{Code: -1, Signal: status.Signal(), CoreDumped: status.CoreDump()}
}

func (e *Exit) Error() string {
	switch {
	case e.OutOfMemory && e.Bound > 0:
		return fmt.Sprintf("the kernel killed the worker because it needed more memory than the %d MiB that it may have", e.Bound>>20)
	case e.OutOfMemory:
		return "the kernel killed the worker because memory ran out"
	case e.Signal != 0 && e.CoreDumped:
		return fmt.Sprintf("the worker died of signal %d (%s, core dumped)", int(e.Signal), e.Signal)
	case e.Signal != 0:
		return fmt.Sprintf("the worker died of signal %d (%s)", int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("the worker exited with status %d", e.Code)
}

// Class of a death that nobody here had caused.
func (e *Exit) class() failure.Class {
	if e.OutOfMemory {
		return failure.HostOOM
	}
	return failure.Crash
}

// lostTime is how long a worker whose stream has ended gets to be really gone, before it is taken for one that lives on without a voice.
const lostTime = 3 * time.Second

// lost explains why nothing more can be read from the worker; inbox must be closed. A worker that lives is ended: without its voice it is
// useless.
func (p *Process) lost(op, subject string) error {
	fault := p.readErr
	if ended := errors.Is(fault, io.EOF) || errors.Is(fault, io.ErrUnexpectedEOF) || errors.Is(fault, os.ErrDeadlineExceeded); ended {
		select {
		case <-p.done:
			return p.deathError(op, subject)
		case <-time.After(lostTime):
			fault = fmt.Errorf("%w: the worker closed its end and lives on", protocol.ErrBroken)
		}
	}
	err := failure.New(failure.Crash, op, subject, fault)
	if errors.Is(fault, protocol.ErrVersion) {
		err.Class = failure.EngineMissing
		err.Hint = "the engine's environment belongs to another version of pdfmill: let it be rebuilt"
	}
	return p.condemn(err)
}

// condemn kills the worker for err, waits for its last words, and returns err with them. The caller has the turn.
func (p *Process) condemn(err *failure.Error) error {
	p.Kill(err)
	limit := time.After(lostTime)
	for inbox := p.inbox; ; {
		select {
		case <-p.done:
			return p.withOutput(err)
		case <-limit:
			return p.withOutput(err)
		case _, open := <-inbox: // nobody wants to know, but unread it would hold up the end
			if !open {
				inbox = nil
			}
		}
	}
}

// deathError says why the worker is gone; done must be closed.
func (p *Process) deathError(op, subject string) error {
	p.mu.Lock()
	cause, exit := p.cause, p.exit
	p.mu.Unlock()
	if cause != nil {
		return cause
	}
	return p.withOutput(failure.New(exit.class(), op, subject, exit))
}

// withOutput returns a copy of a failure with the tail of the worker's output added to its evidence.
func (p *Process) withOutput(err *failure.Error) *failure.Error {
	told := *err
	told.Detail = p.evidence(err.Detail)
	return &told
}

func (p *Process) evidence(detail string) string {
	const mark = "--- last output of the worker ---\n"
	output := p.tail.String()
	if output == "" || strings.Contains(detail, mark) {
		return detail
	}
	if detail != "" {
		detail += "\n"
	}
	return detail + mark + output
}
