package supervise

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/fakechild"
)

// becomeServer makes this process a shared server: it answers /health with 200 while the file SERVER_SICK doesn't exist, and /try while that name with
// "-model" at its end doesn't.
func becomeServer() {
	addr := os.Getenv("SERVER_ADDR")
	if addr == "" {
		return
	}
	if status, _ := strconv.Atoi(os.Getenv("SERVER_EXIT")); status != 0 {
		fmt.Fprintln(os.Stderr, "no such model")
		os.Exit(status)
	}
	http.HandleFunc("POST /try", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := os.Stat(os.Getenv("SERVER_SICK") + "-model"); err == nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	http.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := os.Stat(os.Getenv("SERVER_SICK")); err == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("GET /pry", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, fakechild.Pry(r.FormValue("at")))
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(addr, nil)) //nolint:gosec // a test's server
	os.Exit(1)
}

func server(t *testing.T, change func(*ServerConfig), env ...string) (*Server, string) {
	t.Helper()
	sick := inDir(t, "sick")
	cfg := ServerConfig{
		Name: "vlm", Interval: 5 * time.Millisecond, Failures: 2, Grace: patience, Log: slog.New(slog.DiscardHandler), Registry: registry(t),
		Restart: RestartPolicy{Base: time.Millisecond, Cap: 10 * time.Millisecond, QuarantineAt: 1000},
		Launch: func(_ context.Context, port int, _ string) (Command, error) {
			self, err := os.Executable()
			return Command{Path: self, Env: append(env, fmt.Sprintf("SERVER_ADDR=127.0.0.1:%d", port), "SERVER_SICK="+sick, "GORACE=atexit_sleep_ms=0")}, err
		},
	}
	if change != nil {
		change(&cfg)
	}
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pid := s.Snapshot().PID
		s.Stop()
		if pid != 0 && !gone(pid) {
			t.Errorf("server %d is left", pid)
		}
		if left, _ := os.ReadDir(cfg.Registry.dir); len(left) > 0 {
			t.Errorf("%d records left", len(left))
		}
	})
	return s, sick
}

func TestASharedServerIsKeptRunningAndWaitedFor(t *testing.T) {
	var booked atomic.Int32
	s, sick := server(t, func(c *ServerConfig) {
		c.Room = func(context.Context) (string, func(), error) {
			booked.Add(1)
			return "GPU-1", func() { booked.Add(-1) }, nil
		}
	})
	s.Start()
	epoch, err := s.Await(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Snapshot(); n.State != Idle || n.Device != "GPU-1" || n.PID == 0 || booked.Load() != 1 {
		t.Errorf("%+v, booked %d", n, booked.Load())
	}

	first, url := s.Snapshot().PID, s.URL()
	_ = unix.Kill(first, unix.SIGKILL)
	pipelinetest.Eventually(t, "another process", func() bool { n := s.Snapshot(); return n.State == Idle && n.PID != first })
	if n := s.Snapshot(); n.Restarts != 1 || n.Epoch == epoch || s.URL() != url || booked.Load() != 1 {
		t.Errorf("%+v", n)
	}

	touch(t, sick) // it answers, but not well: a peer's health check once lied about that
	pipelinetest.Eventually(t, "a sick server is replaced", func() bool { return s.Snapshot().Restarts >= 2 })
	waiting := make(chan error, 1)
	go func() {
		_, err := s.Await(context.WithoutCancel(t.Context()))
		waiting <- err
	}()
	if err := os.Remove(sick); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("a job that waited for the restart: %v", err)
	}
	s.Stop()
	if booked.Load() != 0 {
		t.Error("its memory is still booked")
	}
	if _, err := s.Await(t.Context()); failure.ClassOf(err, "") != failure.Unhealthy {
		t.Errorf("after its end: %v", err)
	}
}

func TestASharedServerThatCannotStartIsQuarantined(t *testing.T) {
	s, _ := server(t, func(c *ServerConfig) {
		c.Restart = RestartPolicy{Base: time.Millisecond, QuarantineAt: 3, QuarantineFor: time.Hour}
	}, "SERVER_EXIT=3")
	s.Start()
	_, err := s.Await(t.Context())
	if failure.ClassOf(err, "") != failure.Unhealthy {
		t.Fatal(err)
	}
	if n := s.Snapshot(); n.State != Quarantined || n.Restarts != 2 {
		t.Errorf("%+v", n)
	}
}

// What is missing stays missing: the first start says what, and whoever waits hears it at once.
func TestAServerThatLacksSomethingIsNotTriedAgainAndAgain(t *testing.T) {
	s, _ := server(t, func(c *ServerConfig) { c.Restart = RestartPolicy{QuarantineFor: time.Hour} }, fmt.Sprintf("SERVER_EXIT=%d", StatusMissing))
	s.Start()
	_, err := s.Await(t.Context())
	if failure.ClassOf(err, "") != failure.EngineMissing || !strings.Contains(err.Error(), "no such model") {
		t.Fatal(err)
	}
	if n := s.Snapshot(); n.Restarts != 0 || !strings.Contains(n.Log, "no such model") {
		t.Errorf("%+v", n)
	}
}

// A server may say that it is well while its model is dead: the model itself is asked.
func TestTheModelOfAServerIsAsked(t *testing.T) {
	s, sick := server(t, func(c *ServerConfig) { c.Try, c.TryEvery = &Try{Path: "/try", Body: "{}"}, time.Millisecond })
	touch(t, sick+"-model")
	s.Start()
	pipelinetest.Eventually(t, "it listens", func() bool { return s.listens(t.Context()) == nil })
	if n := s.Snapshot(); n.State == Idle {
		t.Errorf("%+v", n)
	}
	if err := os.Remove(sick + "-model"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	touch(t, sick+"-model")
	pipelinetest.Eventually(t, "it is replaced", func() bool { return s.Snapshot().Restarts > 0 })
}

// Whoever has reason to doubt need not wait for the next time that the model is asked: the server is ended, and nobody is sent to it meanwhile.
func TestAServerWhoseModelIsDoubtedIsReplacedAtOnce(t *testing.T) {
	s, sick := server(t, func(c *ServerConfig) {
		c.Try, c.TryEvery, c.Interval = &Try{Path: "/try", Body: "{}"}, time.Hour, time.Hour
	})
	s.Start()
	epoch, err := s.Await(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	touch(t, sick+"-model")
	if err := s.Check(t.Context()); err == nil {
		t.Fatal("a dead model is well")
	}
	if n := s.Snapshot(); n.State == Idle {
		t.Errorf("ranges still go there: %+v", n)
	}
	if err := os.Remove(sick + "-model"); err != nil {
		t.Fatal(err)
	}
	again, err := s.Await(t.Context())
	if n := s.Snapshot(); err != nil || again == epoch || n.Restarts == 0 || !strings.Contains(n.LastError, "did not answer") {
		t.Errorf("epoch %d, %v, %+v", again, err, n)
	}
}

func TestAServerLeavesItsDeviceWhenAsked(t *testing.T) {
	room := make(chan struct{}, 1)
	room <- struct{}{}
	s, _ := server(t, func(c *ServerConfig) {
		c.Room = func(ctx context.Context) (string, func(), error) {
			select {
			case <-room:
				return "", func() {}, nil
			case <-ctx.Done():
				return "", nil, ctx.Err()
			}
		}
	})
	s.Start()
	epoch, err := s.Await(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pid := s.Snapshot().PID
	s.Leave("lent")
	pipelinetest.Eventually(t, "it is gone", func() bool { return gone(pid) && s.Snapshot().PID == 0 })
	room <- struct{}{}
	again, err := s.Await(t.Context())
	if err != nil || again == epoch {
		t.Errorf("epoch %d, %v", again, err)
	}
	if n := s.Snapshot(); n.LastError != "" { // it was asked to
		t.Errorf("%+v", n)
	}
}

func TestSomebodyElsesServerIsWatched(t *testing.T) {
	var away atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer other.Close()
	where := strings.Replace(other.URL, "//", "//c4n4ry:s3cr3t@", 1)
	var log bytes.Buffer
	s, _ := server(t, func(c *ServerConfig) {
		c.URL, c.Launch, c.Log = where+"/v1/", nil, slog.New(slog.NewTextHandler(&log, nil))
	})
	s.Start()
	epoch, err := s.Await(t.Context())
	if err != nil || s.URL() != where {
		t.Fatal(s.URL(), err)
	}
	away.Store(true)
	var told ServerSnapshot
	pipelinetest.Eventually(t, "it is noticed", func() bool { told = s.Snapshot(); return told.State == Backoff })
	away.Store(false)
	again, err := s.Await(t.Context())
	if err != nil || again == epoch {
		t.Errorf("epoch %d, %v", again, err)
	}
	s.Stop()
	other.Close()
	if shown := fmt.Sprint(told, log.String(), healthy(t.Context(), where, patience)); strings.Contains(shown, "c4n4ry") || strings.Contains(shown, "s3cr3t") || !strings.Contains(shown, "***@127.0.0.1") {
		t.Errorf("shown: %s", shown)
	}
}
