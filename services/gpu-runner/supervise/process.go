package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/gpu-runner/cgroup"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

const (
	// drainTime is how long after a worker's death its pipes are still read: a process that left its group may hold them open.
	drainTime = time.Second
	// writeTime bounds writing one message to a worker that doesn't read.
	writeTime = 10 * time.Second
)

// Config says how to run one worker process.
type Config struct {
	Name         string        // of the worker, for logs and errors
	Command      Command       // what to start
	Engine       string        // the engine that must answer; "" accepts any
	HelloTimeout time.Duration // from the start to hello; default 60 s (a cold import of torch from a slow disk)
	LoadTimeout  time.Duration // from hello to ready; default 10 min (a first start may fetch models)
	Log          *slog.Logger
	OOM          *OOMCounter  // for workers without a control group; nil: a SIGKILL that we didn't send is always a crash
	Registry     *Registry    // nil: the worker isn't recorded
	Groups       *cgroup.Tree // nil: the worker gets no control group of its own
}

// Info is what a worker said of itself.
type Info struct {
	PID       int
	StartedAt time.Time
	Hello     protocol.Hello
	Ready     protocol.Ready
}

// Process is one running worker. Its methods are safe for concurrent use; conversations take turns. Done tells its end, whatever the cause.
type Process struct {
	cfg  Config
	log  *slog.Logger
	info Info

	cmd      *exec.Cmd
	group    *cgroup.Group // nil: none
	token    string
	cell     string   // its own folder, "" for none
	requests *os.File // we write, the child reads as descriptor 3
	replies  *os.File // the child writes as descriptor 4, we read
	output   *os.File // the child's stdout and stderr
	tail     *tail
	writer   *protocol.Writer

	turn    chan struct{}         // holds one token while a conversation goes on
	inbox   chan protocol.Message // closed when nothing more can be read
	readErr error                 // why; set before inbox is closed
	read    chan struct{}         // closed with inbox
	done    chan struct{}         // closed when the process is reaped, its group is gone, its pipes are drained

	mu     sync.Mutex
	reaped bool  // the pid may belong to somebody else from here on
	cause  error // why we killed it, or nil
	exit   *Exit // how it ended; set before done is closed
}

// Start runs the command and waits until the worker is ready. The error is a *failure.Error: engine-missing when there is nothing to run or it is
// another version, timeout, crash, host-oom, or the class that the engine itself gave; no process is left then. The worker lives until Stop or Kill, not until ctx
// ends: ctx only bounds the start.
func Start(ctx context.Context, cfg Config) (*Process, error) {
	if cfg.HelloTimeout <= 0 {
		cfg.HelloTimeout = time.Minute
	}
	if cfg.LoadTimeout <= 0 {
		cfg.LoadTimeout = 10 * time.Minute
	}
	p := &Process{
		cfg: cfg, token: newToken(), tail: newTail(tailBytes),
		turn: make(chan struct{}, 1), inbox: make(chan protocol.Message), read: make(chan struct{}), done: make(chan struct{}),
	}
	if err := p.spawn(); err != nil {
		return nil, failure.New(failure.EngineMissing, "start worker", cfg.Name, err).
			WithHint("the engine's program can't be run: see that it is installed")
	}
	if err := p.greet(ctx); err != nil {
		p.Kill(err)
		<-p.done
		if f := (*failure.Error)(nil); errors.As(err, &f) {
			f.Detail = p.evidence(f.Detail)
		}
		return nil, err
	}
	p.log.Info("worker ready", "engine", p.info.Hello.Engine, "device", p.info.Hello.Device, "load_seconds", p.info.Ready.LoadSeconds)
	return p, nil
}

// Info returns what the worker said when it started.
func (p *Process) Info() Info { return p.info }

// Done is closed when the worker and its process group are gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// RSS returns the worker's resident memory in bytes, 0 when it is gone.
func (p *Process) RSS() int64 { return rssOf(p.info.PID) }

// Err says why the worker is gone: the reason of whoever killed it, or a *failure.Error with an *Exit. It is nil while it lives.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.deathError("run worker", p.cfg.Name)
	default:
		return nil
	}
}

// Doomed reports whether the worker is gone or has been told to go.
func (p *Process) Doomed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reaped || p.cause != nil
}

// Kill ends the worker and its process group at once. The first cause given, which must not be nil, is what Err reports. It doesn't wait: see Done.
func (p *Process) Kill(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return
	}
	if p.cause == nil {
		p.cause = cause
	}
	p.killGroup()
}

// killGroup must not be called once the process is reaped.
func (p *Process) killGroup() { killGroup(p.info.PID, p.log) }

// Stop asks the worker to exit, waits for that at most for grace, then kills its process group; it returns when both are gone. There is no
// SIGTERM between: a worker that doesn't obey the message is stuck, and the signal would tell it nothing more. The error says that it had to be
// killed, or that its exit status wasn't 0.
func (p *Process) Stop(grace time.Duration) error {
	return p.end(grace, func() { _ = p.send(&protocol.Shutdown{}) }) // a write that fails is followed by the end of the stream, which says the same
}

// Hangup is Stop without the message: a worker must also go when nobody can speak to it any more.
func (p *Process) Hangup(grace time.Duration) error { return p.end(grace, func() {}) }

func (p *Process) end(grace time.Duration, goodbye func()) error {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.deathError("stop worker", p.cfg.Name)
	case p.turn <- struct{}{}:
		goodbye()
		_ = p.requests.Close()
		<-p.turn
	case <-timer.C:
		p.Kill(fmt.Errorf("stop worker %s: still busy after %s", p.cfg.Name, grace))
	}
	select {
	case <-p.done:
	case <-timer.C:
		p.Kill(fmt.Errorf("stop worker %s: it didn't exit within %s", p.cfg.Name, grace))
	}
	<-p.done
	p.mu.Lock()
	killed := p.cause != nil
	p.mu.Unlock()
	if killed || p.exit.Code != 0 {
		return p.deathError("stop worker", p.cfg.Name)
	}
	return nil
}

// spawn starts the child with its four pipes and hands them to the goroutines that own them.
func (p *Process) spawn() error {
	if err := p.cfg.Command.check(); err != nil {
		return err
	}
	var err error
	if p.cell, err = newCell(p.cfg.Command.Cell, p.cfg.Command.User); err != nil {
		return err
	}
	var childEnds []*os.File
	defer func() {
		for _, f := range childEnds {
			_ = f.Close()
		}
	}()
	fail := func(err error) error {
		for _, f := range []*os.File{p.requests, p.replies, p.output} {
			if f != nil {
				_ = f.Close()
			}
		}
		if p.cell != "" {
			err = errors.Join(err, os.RemoveAll(p.cell))
		}
		return err
	}
	requestsIn, requests, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	childEnds, p.requests = append(childEnds, requestsIn), requests
	replies, repliesOut, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	childEnds, p.replies = append(childEnds, repliesOut), replies
	output, outputIn, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	childEnds, p.output = append(childEnds, outputIn), output

	p.cmd = exec.Command(p.cfg.Command.Path, p.cfg.Command.Args...) //nolint:noctx // it lives through many jobs: Kill ends it and its whole group
	p.cmd.Dir = p.cfg.Command.Dir
	if p.cmd.Dir == "" {
		p.cmd.Dir = "/"
	}
	p.cmd.Env = append(append([]string{}, p.cfg.Command.Env...), TokenVariable+"="+p.token)
	p.cmd.Stdout, p.cmd.Stderr = outputIn, outputIn
	p.cmd.ExtraFiles = []*os.File{requestsIn, repliesOut}

	started := make(chan error, 1)
	go p.own(started)
	if err := <-started; err != nil {
		return fail(err)
	}
	return nil
}

// own has the child started, waits for its end and clears up after it.
func (p *Process) own(started chan<- error) {
	p.group = ownGroup(p.cfg.Groups, p.cfg.Command.Memory, p.cfg.Log)
	if err := p.cfg.Command.bear(p.cmd, p.cell, p.group, p.done, p.cfg.Log); err != nil {
		started <- errors.Join(err, p.group.Remove())
		return
	}
	defer close(p.done)
	pid := p.cmd.Process.Pid
	p.info.PID, p.info.StartedAt = pid, time.Now()
	p.log = p.cfg.Log.With("worker", p.cfg.Name, "pid", pid)
	p.writer = protocol.NewWriter(p.requests)
	expendable(pid, p.cfg.Command.User, p.cfg.Command.Data, p.log)
	if err := p.cfg.Registry.remember(pid, p.token); err != nil {
		p.log.Warn("this worker can't be found by a later run", "error", err)
	}
	defer p.cfg.Registry.forget(p.token)

	var readers sync.WaitGroup
	readers.Go(p.receive)
	readers.Go(func() { capture(p.output, p.tail, p.log) })
	started <- nil

	awaitExit(pid)
	endGroup(pid, p.log)
	p.reap()
	endControlGroup(p.group, p.log)

	// Nobody of the group writes any more. What is in the pipes is still read: the last words matter most.
	_ = p.requests.Close()
	_ = p.replies.SetReadDeadline(time.Now().Add(drainTime))
	_ = p.output.SetReadDeadline(time.Now().Add(drainTime))
	select {
	case p.turn <- struct{}{}: // nobody converses: what comes now is for nobody
		for range p.inbox {
		}
		<-p.turn
	case <-p.read:
	}
	readers.Wait()
	_ = p.replies.Close()
	_ = p.output.Close()
	p.removeCell(p.log)
}

// reap takes the exit status. From here on the pid may be somebody else's.
func (p *Process) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Wait() // the status says more than the error
	p.reaped = true
	p.exit = exitOf(p.cmd.ProcessState)
	if p.cause == nil && p.exit.Signal == syscall.SIGKILL {
		if p.group != nil {
			p.exit.OutOfMemory, p.exit.Bound = p.group.OutOfMemory()
		} else {
			p.exit.OutOfMemory = p.cfg.OOM.Claim()
		}
	}
	p.log.Debug("worker gone", "exit", p.exit.Error())
}

// receive passes messages on until the stream ends.
func (p *Process) receive() {
	defer close(p.read)
	defer close(p.inbox)
	for reader := protocol.NewReader(p.replies); ; {
		m, err := reader.Next()
		if err != nil {
			p.readErr = err
			return
		}
		p.inbox <- m
	}
}

func (p *Process) send(m protocol.Message) error {
	_ = p.requests.SetWriteDeadline(time.Now().Add(writeTime))
	return p.writer.Write(m)
}
