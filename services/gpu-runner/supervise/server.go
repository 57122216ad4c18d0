package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/secret"
	"github.com/pdfmill/pdfmill/services/gpu-runner/cgroup"
)

// ServerConfig says how to run a shared inference server: one long-lived child that workers are clients of, or somebody else's that is only watched.
// Zero fields get the defaults.
type ServerConfig struct {
	Name string
	// URL is set for a server that somebody else runs: it is watched, never started. Else Launch says how to start the server, listening on
	// 127.0.0.1:port, on the device that Room has booked; the port is the same at every start. It must end with ctx.
	URL    string
	Launch func(ctx context.Context, port int, device string) (Command, error)
	// HealthPath is asked with GET: a status of 200 within HealthTimeout says that the server listens; default "/health".
	HealthPath    string
	HealthTimeout time.Duration // default 5 s
	// Try is a request that the server's model must answer, before the server counts as working and every TryEvery after that: a server may say that it
	// is well while its model is dead. Nil: listening is enough.
	Try          *Try
	TryEvery     time.Duration // default 1 min
	Interval     time.Duration // between checks; default 5 s
	Failures     int           // checks in a row that must fail before the server is ended; default 3
	StartTimeout time.Duration // from the start to the first good check; default 10 min (models load). Also how long an external one may be away
	Grace        time.Duration // between SIGTERM and SIGKILL; default ServerGrace

	// Room books memory before each start, waiting as long as that takes; leave is called when the server is gone. Nil: no books.
	Room    func(ctx context.Context) (device string, leave func(), err error)
	Restart RestartPolicy

	Log      *slog.Logger
	Registry *Registry    // nil: the server isn't recorded
	Groups   *cgroup.Tree // nil: it gets no control group of its own
}

// Try is a request whose answer must have status 200 within Timeout.
type Try struct {
	Path    string
	Body    string        // JSON
	Timeout time.Duration // default 2 min
}

// shownBytes of a server's output are in its snapshot.
const shownBytes = 2 << 10

// StatusMissing is the exit status of a server that lacks something that no restart brings: its last line says what (EX_CONFIG of sysexits.h).
const StatusMissing = 78

// Server keeps a shared inference server running. Its URL never changes; while the server is away those who need it wait: see Await.
type Server struct {
	cfg   ServerConfig
	url   string
	port  int
	wg    sync.WaitGroup
	live  context.Context
	end   context.CancelFunc
	evict chan string // holds one: why the running child must leave its device

	doubted chan string // holds one: what the running child's model failed at

	mu      sync.Mutex
	started bool
	state   ServerSnapshot
	lastErr error
	output  *tail         // of the latest child; nil: there was none
	changed chan struct{} // closed and replaced at every change
}

// ServerSnapshot is a shared server at one moment.
type ServerSnapshot struct {
	Name      string    `json:"name"`
	URL       string    `json:"url"`
	External  bool      `json:"external,omitempty"` // somebody else runs it
	Device    string    `json:"device,omitempty"`
	State     State     `json:"state"` // unloaded, starting, idle (it works), backoff, quarantined
	Reason    string    `json:"reason,omitempty"`
	Since     time.Time `json:"since"`
	PID       int       `json:"pid,omitempty"`
	Restarts  int       `json:"restarts"` // starts after the first; of an external one, how often it came back
	LastError string    `json:"last_error,omitempty"`
	Log       string    `json:"log,omitempty"` // the end of what its latest process has printed
	// Epoch is another number each time the server has come up: what was asked of it in between may have been lost.
	Epoch int `json:"epoch"`
}

// ServerGrace is what a server gets between SIGTERM and SIGKILL.
const ServerGrace = 10 * time.Second

// NewServer chooses a port; it starts nothing yet.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.HealthPath == "" {
		cfg.HealthPath = "/health"
	}
	orDefault(&cfg.HealthTimeout, 5*time.Second)
	orDefault(&cfg.Interval, 5*time.Second)
	orDefault(&cfg.Failures, 3)
	orDefault(&cfg.StartTimeout, 10*time.Minute)
	orDefault(&cfg.Grace, ServerGrace)
	orDefault(&cfg.TryEvery, time.Minute)
	if cfg.Room == nil {
		cfg.Room = func(context.Context) (string, func(), error) { return "", func() {}, nil }
	}
	s := &Server{cfg: cfg, url: strings.TrimSuffix(strings.TrimRight(cfg.URL, "/"), "/v1"), changed: make(chan struct{}), evict: make(chan string, 1), doubted: make(chan string, 1)}
	s.live, s.end = context.WithCancel(context.Background())
	if cfg.URL != "" {
		s.state = ServerSnapshot{Name: cfg.Name, URL: secret.URL(s.url), External: true, State: Unloaded, Since: time.Now()}
		return s, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a port for server %s: %w", cfg.Name, err)
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	s.url = fmt.Sprintf("http://127.0.0.1:%d", s.port)
	s.state = ServerSnapshot{Name: cfg.Name, URL: s.url, State: Unloaded, Since: time.Now()}
	return s, nil
}

// URL is where the server listens whenever it runs, without a path.
func (s *Server) URL() string { return s.url }

// Start begins to keep the server running. It doesn't wait for it.
func (s *Server) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.live.Err() != nil {
		return
	}
	s.started = true
	if s.cfg.URL != "" {
		s.wg.Go(s.attend)
		return
	}
	s.wg.Go(s.keep)
}

// Stop ends the server, politely at first, and returns when its process group is gone.
func (s *Server) Stop() {
	s.mu.Lock()
	s.end() // under the lock, so that Start can't add a goroutine beside the wait
	s.mu.Unlock()
	s.wg.Wait()
}

// Await waits until the server works, and returns its epoch. A server that is being restarted is waited for. The error is unhealthy (or
// engine-missing, when that is why) when the server is in quarantine or is being stopped, or wraps the cause of ctx's end.
func (s *Server) Await(ctx context.Context) (epoch int, err error) {
	for {
		s.mu.Lock()
		state, last, changed := s.state, s.lastErr, s.changed
		s.mu.Unlock()
		switch state.State {
		case Idle:
			return state.Epoch, nil
		case Quarantined:
			if failure.ClassOf(last, "") == failure.EngineMissing {
				return 0, last
			}
			return 0, failure.Newf(failure.Unhealthy, "wait for server", s.cfg.Name, "%s; %s", state.Reason, state.LastError)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			now := s.Snapshot()
			return 0, fmt.Errorf("wait for server %s, which is %s (%s): %w", s.cfg.Name, now.State, now.Reason, endOf(ctx))
		case <-s.live.Done():
			return 0, failure.New(failure.Unhealthy, "wait for server", s.cfg.Name, errors.New("it is being stopped"))
		}
	}
}

// Check asks a server that counts as working whether it really does, now: whether it listens, and whether its model answers. One whose model doesn't, though
// it listens, is ended and started again at once; from then on Await waits for that.
func (s *Server) Check(ctx context.Context) error {
	if err := s.listens(ctx); err != nil || s.cfg.Try == nil {
		return err
	}
	epoch := s.Snapshot().Epoch
	err := s.cfg.Try.ask(ctx, s.url)
	if err != nil && ctx.Err() == nil {
		s.doubt(epoch, err)
	}
	return err
}

func (s *Server) listens(ctx context.Context) error {
	return healthy(ctx, s.url+s.cfg.HealthPath, s.cfg.HealthTimeout)
}

// doubt has the child that came up as epoch end, because its model did not answer.
func (s *Server) doubt(epoch int, err error) {
	s.enter(func(n *ServerSnapshot) {
		if n.State != Idle || n.Epoch != epoch {
			return
		}
		n.State, n.Reason = Backoff, "its model does not answer"
		select {
		case s.doubted <- err.Error():
		default:
		}
	})
}

// Leave has the running child end, because its device is wanted; it is started again when Room has room.
func (s *Server) Leave(reason string) {
	select {
	case s.evict <- reason:
	default:
	}
}

// Snapshot returns the server as it is now.
func (s *Server) Snapshot() ServerSnapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snapshot := s.state
	if s.output != nil {
		snapshot.Log = s.output.String()
		snapshot.Log = strings.ToValidUTF8(snapshot.Log[max(0, len(snapshot.Log)-shownBytes):], "")
	}
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

// errLeft says that a child was ended because its device is wanted.
var errLeft = errors.New("it has left its device")

// keep starts the server again and again until Stop.
func (s *Server) keep() {
	restarts := NewRestarts(s.cfg.Restart)
	for first := true; s.live.Err() == nil; first = false {
		s.enter(func(n *ServerSnapshot) {
			n.State, n.Reason = Starting, "waits for room"
			if !first {
				n.Restarts++
			}
		})
		end, err := s.once()
		if s.live.Err() != nil {
			break
		}
		if errors.Is(err, errLeft) {
			s.cfg.Log.Info("shared server has left", "server", s.cfg.Name, "reason", err)
			s.enter(func(n *ServerSnapshot) { n.State, n.PID, n.Device = Starting, 0, "" })
			continue
		}
		verdict := restarts.Next(time.Now(), end)
		if failure.ClassOf(err, "") == failure.EngineMissing { // another try finds the same
			verdict = Verdict{Quarantine: true, Delay: restarts.policy.QuarantineFor, Reason: "something that it needs is missing"}
		}
		s.cfg.Log.Warn("shared server ended", "server", s.cfg.Name, "error", err, "reason", verdict.Reason)
		s.enter(func(n *ServerSnapshot) {
			n.State, n.Reason, n.PID, n.Device, n.LastError = Backoff, verdict.Reason, 0, "", failure.Sentence(err)
			s.lastErr = err
			if verdict.Quarantine {
				n.State = Quarantined
			}
		})
		pause(s.live, verdict.Delay)
	}
	s.enter(func(n *ServerSnapshot) { n.State, n.Reason, n.PID, n.Device = Unloaded, "", 0, "" })
}

// attend watches a server that somebody else runs, until Stop.
func (s *Server) attend() {
	s.enter(func(n *ServerSnapshot) { n.State, n.Reason = Starting, "" })
	away, failures, tried := time.Now(), 0, time.Time{}
	for wait := time.Duration(0); s.live.Err() == nil; wait = s.cfg.Interval {
		pause(s.live, wait)
		err := s.well(&tried)
		if s.live.Err() != nil {
			break
		}
		state := s.Snapshot().State
		switch {
		case err == nil:
			failures = 0
			if state != Idle {
				s.cfg.Log.Info("shared server answers", "server", s.cfg.Name, "url", secret.URL(s.url))
				s.enter(func(n *ServerSnapshot) {
					n.State, n.Reason = Idle, ""
					if n.Epoch++; n.Epoch > 1 {
						n.Restarts++
					}
				})
			}
			continue
		case state == Idle:
			if failures++; failures < s.cfg.Failures {
				continue
			}
			away = time.Now()
			s.cfg.Log.Warn("shared server does not answer", "server", s.cfg.Name, "url", secret.URL(s.url), "error", err)
		}
		s.enter(func(n *ServerSnapshot) {
			n.State, n.Reason, n.LastError = Backoff, "does not answer at "+n.URL, failure.Sentence(err)
			s.lastErr = err
			if time.Since(away) > s.cfg.StartTimeout {
				n.State = Quarantined
			}
		})
	}
	s.enter(func(n *ServerSnapshot) { n.State, n.Reason = Unloaded, "" })
}

// well asks the server whether it listens, and, when it is time for that, its model for an answer.
func (s *Server) well(tried *time.Time) error {
	if err := s.listens(s.live); err != nil || s.cfg.Try == nil || time.Since(*tried) < s.cfg.TryEvery {
		return err
	}
	if err := s.cfg.Try.ask(s.live, s.url); err != nil {
		return err
	}
	*tried = time.Now()
	return nil
}

// once runs the server from its start to its end.
func (s *Server) once() (End, error) {
	device, leave, err := s.cfg.Room(s.live)
	if err != nil {
		return End{}, fmt.Errorf("find room for server %s: %w", s.cfg.Name, err)
	}
	defer leave()
	select {
	case <-s.evict: // it was meant for the child before
	default:
	}
	select {
	case <-s.doubted: // as was this
	default:
	}
	s.enter(func(n *ServerSnapshot) { n.Reason, n.Device = "loads", device })
	command, err := s.cfg.Launch(s.live, s.port, device)
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
	s.enter(func(n *ServerSnapshot) { n.PID, s.output = child.pid, child.tail })
	ready, err := s.watch(child)
	child.stop()
	if exit := child.exit; err == nil && exit != nil {
		err = exit
	}
	if output := child.tail.String(); output != "" && !errors.Is(err, errLeft) {
		if child.exit != nil && child.exit.Code == StatusMissing {
			err = failure.New(failure.EngineMissing, "start server", s.cfg.Name, errors.New(lastLine(output)))
		} else {
			err = fmt.Errorf("%w; its last words: %s", err, lastLine(output))
		}
	}
	return End{Ready: !ready.IsZero(), Lived: since(ready)}, err
}

// watch checks the server's health until it dies, fails too many checks, or Stop. It returns when the first check went well.
func (s *Server) watch(child *serverChild) (ready time.Time, err error) {
	deadline := time.Now().Add(s.cfg.StartTimeout)
	failures, tried := 0, time.Time{}
	for wait := 20 * time.Millisecond; ; {
		timer := time.NewTimer(wait)
		select {
		case <-child.done:
			timer.Stop()
			return ready, nil
		case <-s.live.Done():
			timer.Stop()
			return ready, s.live.Err()
		case reason := <-s.evict:
			timer.Stop()
			return ready, fmt.Errorf("%w: %s", errLeft, reason)
		case why := <-s.doubted:
			timer.Stop()
			return ready, fmt.Errorf("its model did not answer when a range came back without: %s", why)
		case <-timer.C:
		}
		sick := s.well(&tried)
		switch {
		case sick == nil:
			failures = 0
			if ready.IsZero() {
				ready = time.Now()
				s.cfg.Log.Info("shared server ready", "server", s.cfg.Name, "url", s.url, "pid", child.pid)
				s.enter(func(n *ServerSnapshot) { n.State, n.Reason, n.Epoch = Idle, "", n.Epoch+1 })
			}
			wait = s.cfg.Interval
		case ready.IsZero():
			if time.Now().After(deadline) {
				return ready, fmt.Errorf("no good health check within %s: %w", s.cfg.StartTimeout, sick)
			}
			s.mu.Lock()
			s.state.Reason = "loads; " + sick.Error() // nobody waits for this change
			s.mu.Unlock()
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
	cell string        // its own folder, "" for none
	exit *Exit         // set before done is closed
	done chan struct{} // closed when the group is gone

	mu     sync.Mutex
	reaped bool
}

func (c *serverChild) start(command Command) error {
	var err error
	if c.cell, err = newCell(command.Cell, command.User); err != nil {
		return err
	}
	output, outputIn, err := os.Pipe()
	if err != nil {
		return errors.Join(err, c.removeCell())
	}
	token := newToken()
	cmd := exec.Command(command.Path, command.Args...) //nolint:noctx // it lives through many jobs: its owner ends it and its whole group
	if cmd.Dir = command.Dir; cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.Env = append(append([]string{}, command.Env...), TokenVariable+"="+token)
	cmd.Stdout, cmd.Stderr = outputIn, outputIn
	started := make(chan error, 1)
	go c.own(cmd, command, token, output, outputIn, started)
	return <-started
}

func (c *serverChild) removeCell() error {
	if c.cell == "" {
		return nil
	}
	return os.RemoveAll(c.cell)
}

// own has the process started, waits for its end and clears up after it.
func (c *serverChild) own(cmd *exec.Cmd, command Command, token string, output, outputIn *os.File, started chan<- error) {
	defer output.Close()
	group := ownGroup(c.cfg.Groups, command.Memory, c.cfg.Log)
	err := command.bear(cmd, c.cell, group, c.done, c.cfg.Log)
	_ = outputIn.Close()
	if err != nil {
		started <- errors.Join(err, group.Remove(), c.removeCell())
		return
	}
	defer close(c.done)
	c.pid = cmd.Process.Pid
	log := c.cfg.Log.With("server", c.cfg.Name, "pid", c.pid)
	expendable(c.pid, command.User, command.Data, log)
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
	if c.exit.Signal == syscall.SIGKILL {
		c.exit.OutOfMemory, c.exit.Bound = group.OutOfMemory()
	}
	c.mu.Unlock()
	endControlGroup(group, log)
	if err := c.removeCell(); err != nil {
		log.Warn("a server's folder stays behind", "dir", c.cell, "err", err)
	}
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
