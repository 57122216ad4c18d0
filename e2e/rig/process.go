package rig

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// Process is a program that runs until it is told to end, at the latest when the test does.
type Process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	log  syncBuffer
	done chan struct{} // closed when it is gone
}

// Start starts a program with env on top of the test's environment.
func Start(t testing.TB, env []string, program string, args ...string) *Process {
	t.Helper()
	cmd := exec.Command(program, args...) //nolint:noctx // it outlives contexts: the test kills it
	cmd.Env = append(os.Environ(), env...)
	return StartCommand(t, filepath.Base(program), cmd)
}

// StartCommand starts a program as cmd says; its output becomes the process' log.
func StartCommand(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, name: name, cmd: cmd, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s said at last:\n%s", p.name, tail(p.Log(), lastWords))
		}
	})
	return p
}

// lastWords bounds, in bytes, what a failing test shows of a process' log: the end tells why.
const lastWords = 16 << 10

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// Name of the process, as logs call it.
func (p *Process) Name() string { return p.name }

// Gone says whether the process has ended.
func (p *Process) Gone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// PID of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is everything that it printed so far.
func (p *Process) Log() string { return p.log.String() }

// Signal sends a signal; it is no fault when nobody is there any more.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill ends the process as a power cut would, and waits until it is gone.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Await waits for a state of the process that done reports, and fails the test when it ends before.
func (p *Process) Await(awaited string, done func() bool) {
	p.t.Helper()
	p.AwaitWithin(pipelinetest.Patience, awaited, done)
}

// AwaitWithin is Await for a state that takes so long.
func (p *Process) AwaitWithin(patience time.Duration, awaited string, done func() bool) {
	p.t.Helper()
	pipelinetest.Within(p.t, patience, p.name+": "+awaited, func() bool {
		if done() {
			return true
		}
		select {
		case <-p.done:
			p.t.Fatalf("%s ended (%s) before this: %s\n%s", p.name, p.cmd.ProcessState, awaited, p.Log())
		default:
		}
		return false
	})
}

// Stop ends the process politely and returns its exit code; one that takes longer than limit fails the test.
func (p *Process) Stop(limit time.Duration) int {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	return p.Wait(limit)
}

// Wait returns the exit code of a process that ends within limit, else fails the test.
func (p *Process) Wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.t.Fatalf("%s is still there after %s\n%s", p.name, limit, p.Log())
	}
	return p.cmd.ProcessState.ExitCode()
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
