package faults

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// process is one program under test.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *lockedBuffer
	done chan struct{}
}

// launch starts a program with nothing of this process' environment but what it needs.
func launch(t testing.TB, name, path string, env []string, args ...string) *process {
	t.Helper()
	p := &process{name: name, log: &lockedBuffer{}, done: make(chan struct{})}
	p.cmd = exec.Command(path, args...) //nolint:noctx // it outlives contexts: the test kills it
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	if cache := os.Getenv("PDFMILL_CACHE"); cache != "" {
		p.cmd.Env = append(p.cmd.Env, "PDFMILL_CACHE="+cache)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	return p
}

// kill ends it as a power cut would, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.done
}

// terminate asks it to stop and waits until it has.
func (p *process) terminate() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	<-p.done
}

// pause and resume freeze and thaw it.
func (p *process) pause() { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }

func (p *process) resume() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

func (p *process) gone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// diedAt reports whether it was killed by SIGKILL at a crash point.
func (p *process) diedAt(point string) bool {
	if !p.gone() {
		return false
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL && strings.Contains(p.log.String(), "crashpoint "+point)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// maxLog bounds, in bytes, what is kept of a program's output: its end.
const maxLog = 256 << 10

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(p)
	if l.b.Len() > 2*maxLog {
		l.b.Next(l.b.Len() - maxLog)
	}
	return len(p), nil
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
