package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// ServerConfig says how to run a shared inference server: one long-lived child that workers are clients of. Zero fields get the defaults.
type ServerConfig struct {
	Name string
	// Launch says how to start the server, listening on 127.0.0.1:port; the port is the same at every start. It must end with ctx.
	Launch func(ctx context.Context, port int) (Command, error)
	// HealthPath is asked with GET: a status of 200 within HealthTimeout says that the server works; default "/health".
	HealthPath    string
	HealthTimeout time.Duration // default 5 s
	Interval      time.Duration // between checks; default 5 s
	Failures      int           // checks in a row that must fail before the server is ended; default 3
	StartTimeout  time.Duration // from the start to the first good check; default 10 min (models load)
	Capacity      int           // jobs that may use it at once; 0: no limit of its own
	Grace         time.Duration // between SIGTERM and SIGKILL; default 10 s

	// Room books memory before each start, waiting as long as that takes; the function it returns is called when the server is gone. Nil: no books.
	Room    func(ctx context.Context) (leave func(), err error)
	Restart RestartPolicy

	Log      *slog.Logger
	Registry *Registry // nil: the server isn't recorded
}

// Server keeps a shared inference server running. Its URL never changes; while the server is away those who need it wait: see Acquire.
type Server struct {
	cfg   ServerConfig
	url   string
	port  int
	slots chan struct{} // nil: no limit
	wg    sync.WaitGroup
	live  context.Context
	end   context.CancelFunc

	mu      sync.Mutex
	started bool
	state   ServerSnapshot
	changed chan struct{} // closed and replaced at every change
}

// ServerSnapshot is a shared server at one moment.
type ServerSnapshot struct {
	Name      string    `json:"name"`
	URL       string    `json:"url"`
	State     State     `json:"state"` // unloaded, starting, idle (it works), backoff, quarantined
	Reason    string    `json:"reason,omitempty"`
	Since     time.Time `json:"since"`
	PID       int       `json:"pid,omitempty"`
	Restarts  int       `json:"restarts"` // starts after the first
	Capacity  int       `json:"capacity,omitempty"`
	InUse     int       `json:"in_use"`
	LastError string    `json:"last_error,omitempty"`
}

// NewServer chooses a port; it starts nothing yet.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.HealthPath == "" {
		cfg.HealthPath = "/health"
	}
	orDefault(&cfg.HealthTimeout, 5*time.Second)
	orDefault(&cfg.Interval, 5*time.Second)
	orDefault(&cfg.Failures, 3)
	orDefault(&cfg.StartTimeout, 10*time.Minute)
	orDefault(&cfg.Grace, 10*time.Second)
	if cfg.Room == nil {
		cfg.Room = func(context.Context) (func(), error) { return func() {}, nil }
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a port for server %s: %w", cfg.Name, err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	s := &Server{cfg: cfg, port: port, url: fmt.Sprintf("http://127.0.0.1:%d", port), changed: make(chan struct{})}
	s.state = ServerSnapshot{Name: cfg.Name, URL: s.url, State: Unloaded, Since: time.Now(), Capacity: cfg.Capacity}
	if cfg.Capacity > 0 {
		s.slots = make(chan struct{}, cfg.Capacity)
	}
	s.live, s.end = context.WithCancel(context.Background())
	return s, nil
}

// URL is where the server listens whenever it runs.
func (s *Server) URL() string { return s.url }

// Start begins to keep the server running. It doesn't wait for it.
func (s *Server) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.live.Err() != nil {
		return
	}
	s.started = true
	s.wg.Go(s.keep)
}

// Stop ends the server, politely at first, and returns when its process group is gone.
func (s *Server) Stop() {
	s.mu.Lock()
	s.end() // under the lock, so that Start can't add a goroutine beside the wait
	s.mu.Unlock()
	s.wg.Wait()
}

// Acquire waits until the server works and has capacity for one more job, and takes it; release gives it back. A server that is being restarted is
// waited for. The error is unhealthy when the server is in quarantine or is being stopped, or wraps the cause of ctx's end.
func (s *Server) Acquire(ctx context.Context) (release func(), err error) {
	if err := s.await(ctx); err != nil {
		return nil, err
	}
	if s.slots == nil {
		return func() {}, nil
	}
	select {
	case s.slots <- struct{}{}:
		var once sync.Once
		return func() { once.Do(func() { <-s.slots }) }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for capacity of server %s: %w", s.cfg.Name, endOf(ctx))
	}
}

func (s *Server) await(ctx context.Context) error {
	for {
		s.mu.Lock()
		state, changed := s.state, s.changed
		s.mu.Unlock()
		switch state.State {
		case Idle:
			return nil
		case Quarantined:
			return failure.Newf(failure.Unhealthy, "wait for server", s.cfg.Name, "%s; %s", state.Reason, state.LastError)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for server %s, which is %s: %w", s.cfg.Name, state.State, endOf(ctx))
		case <-s.live.Done():
			return failure.New(failure.Unhealthy, "wait for server", s.cfg.Name, errors.New("it is being stopped"))
		}
	}
}

// Snapshot returns the server as it is now.
func (s *Server) Snapshot() ServerSnapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snapshot := s.state
	snapshot.InUse = len(s.slots)
	return snapshot
}

func (s *Server) enter(change func(*ServerSnapshot)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
	s.state.Since = time.Now()
	close(s.changed)
	s.changed = make(chan struct{})
}

// keep starts the server again and again until Stop.
func (s *Server) keep() {
	restarts := NewRestarts(s.cfg.Restart)
	for first := true; s.live.Err() == nil; first = false {
		s.enter(func(n *ServerSnapshot) {
			n.State, n.Reason = Starting, ""
			if !first {
				n.Restarts++
			}
		})
		end, err := s.once()
		if s.live.Err() != nil {
			break
		}
		verdict := restarts.Next(time.Now(), end)
		s.cfg.Log.Warn("shared server ended", "server", s.cfg.Name, "error", err, "reason", verdict.Reason)
		s.enter(func(n *ServerSnapshot) {
			n.State, n.Reason, n.PID, n.LastError = Backoff, verdict.Reason, 0, err.Error()
			if verdict.Quarantine {
				n.State = Quarantined
			}
		})
		pause(s.live, verdict.Delay)
	}
	s.enter(func(n *ServerSnapshot) { n.State, n.Reason, n.PID = Unloaded, "", 0 })
}

// once runs the server from its start to its end.
func (s *Server) once() (End, error) {
	leave, err := s.cfg.Room(s.live)
	if err != nil {
		return End{}, fmt.Errorf("find room for server %s: %w", s.cfg.Name, err)
	}
	defer leave()
	command, err := s.cfg.Launch(s.live, s.port)
	if err == nil {
		err = command.check()
	}
	if err != nil {
		return End{}, fmt.Errorf("start server %s: %w", s.cfg.Name, err)
	}
	child := &serverChild{cfg: s.cfg, tail: newTail(tailBytes), done: make(chan struct{})}
	if err := child.start(command); err != nil {
		return End{}, fmt.Errorf("start server %s: %w", s.cfg.Name, err)
	}
	s.enter(func(n *ServerSnapshot) { n.PID = child.pid })
	ready, err := s.watch(child)
	child.stop()
	if exit := child.exit; err == nil && exit != nil {
		err = exit
	}
	if output := child.tail.String(); output != "" {
		err = fmt.Errorf("%w; its last words: %s", err, lastLine(output))
	}
	return End{Ready: !ready.IsZero(), Lived: since(ready)}, err
}

// watch checks the server's health until it dies, fails too many checks, or Stop. It returns when the first check went well.
func (s *Server) watch(child *serverChild) (ready time.Time, err error) {
	deadline := time.Now().Add(s.cfg.StartTimeout)
	failures := 0
	for wait := 20 * time.Millisecond; ; {
		timer := time.NewTimer(wait)
		select {
		case <-child.done:
			timer.Stop()
			return ready, nil
		case <-s.live.Done():
			timer.Stop()
			return ready, s.live.Err()
		case <-timer.C:
		}
		sick := healthy(s.live, s.url+s.cfg.HealthPath, s.cfg.HealthTimeout)
		switch {
		case sick == nil:
			failures = 0
			if ready.IsZero() {
				ready = time.Now()
				s.cfg.Log.Info("shared server ready", "server", s.cfg.Name, "url", s.url, "pid", child.pid)
				s.enter(func(n *ServerSnapshot) { n.State, n.Reason = Idle, "" })
			}
			wait = s.cfg.Interval
		case ready.IsZero():
			if time.Now().After(deadline) {
				return ready, fmt.Errorf("no good health check within %s: %w", s.cfg.StartTimeout, sick)
			}
			wait = min(2*wait, time.Second)
		default:
			if failures++; failures >= s.cfg.Failures {
				return ready, fmt.Errorf("%d health checks failed in a row: %w", failures, sick)
			}
			wait = s.cfg.Interval
		}
	}
}

// serverChild is one process of a server.
type serverChild struct {
	cfg  ServerConfig
	tail *tail
	pid  int
	exit *Exit         // set before done is closed
	done chan struct{} // closed when the group is gone

	mu     sync.Mutex
	reaped bool
}

func (c *serverChild) start(command Command) error {
	output, outputIn, err := os.Pipe()
	if err != nil {
		return err
	}
	token := newToken()
	cmd := exec.Command(command.Path, command.Args...) //nolint:noctx // it lives through many jobs: its owner ends it and its whole group
	if cmd.Dir = command.Dir; cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.Env = append(append([]string{}, command.Env...), TokenVariable+"="+token)
	cmd.Stdout, cmd.Stderr = outputIn, outputIn
	isolate(cmd)
	started := make(chan error, 1)
	go c.own(cmd, token, output, outputIn, started)
	return <-started
}

// own starts the process and stays on its thread until it is gone, for the reason that Process.own gives.
func (c *serverChild) own(cmd *exec.Cmd, token string, output, outputIn *os.File, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer output.Close()
	err := cmd.Start()
	_ = outputIn.Close()
	if err != nil {
		started <- err
		return
	}
	defer close(c.done)
	c.pid = cmd.Process.Pid
	log := c.cfg.Log.With("server", c.cfg.Name, "pid", c.pid)
	expendable(c.pid)
	if err := c.cfg.Registry.remember(c.pid, token); err != nil {
		log.Warn("this server can't be found by a later run", "error", err)
	}
	defer c.cfg.Registry.forget(token)
	var reader sync.WaitGroup
	reader.Go(func() { capture(output, c.tail, log) })
	started <- nil
	awaitExit(c.pid)
	endGroup(c.pid, log)
	c.mu.Lock()
	_ = cmd.Wait() // the status says more than the error
	c.reaped, c.exit = true, exitOf(cmd.ProcessState)
	c.mu.Unlock()
	_ = output.SetReadDeadline(time.Now().Add(drainTime))
	reader.Wait()
}

// stop ends the process and returns when its group is gone.
func (c *serverChild) stop() {
	c.signal(unix.SIGTERM)
	timer := time.NewTimer(c.cfg.Grace)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		c.signal(unix.SIGKILL)
		<-c.done
	}
}

func (c *serverChild) signal(s syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		_ = unix.Kill(-c.pid, s) // gone is as good
	}
}
