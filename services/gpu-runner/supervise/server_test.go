package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// becomeServer makes this process a shared server: it answers /health with 200 while the file SERVER_SICK doesn't exist, and ignores SIGTERM.
func becomeServer() {
	addr := os.Getenv("SERVER_ADDR")
	if addr == "" {
		return
	}
	if os.Getenv("SERVER_BROKEN") != "" {
		fmt.Fprintln(os.Stderr, "no such model")
		os.Exit(3)
	}
	http.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := os.Stat(os.Getenv("SERVER_SICK")); err == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
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
		Launch: func(_ context.Context, port int) (Command, error) {
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
		c.Capacity = 1
		c.Room = func(context.Context) (func(), error) { booked.Add(1); return func() { booked.Add(-1) }, nil }
	})
	s.Start()
	release, err := s.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Snapshot(); n.State != Idle || n.InUse != 1 || n.PID == 0 || booked.Load() != 1 {
		t.Errorf("%+v, booked %d", n, booked.Load())
	}
	full, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Acquire(full); !errors.Is(err, context.Canceled) {
		t.Errorf("beyond its capacity: %v", err)
	}
	release()
	release() // twice is once

	first, url := s.Snapshot().PID, s.URL()
	_ = unix.Kill(first, unix.SIGKILL)
	pipelinetest.Eventually(t, "another process", func() bool { n := s.Snapshot(); return n.State == Idle && n.PID != first })
	if n := s.Snapshot(); n.Restarts != 1 || s.URL() != url || booked.Load() != 1 {
		t.Errorf("%+v", n)
	}

	touch(t, sick) // it answers, but not well: a peer's health check once lied about that
	pipelinetest.Eventually(t, "a sick server is replaced", func() bool { return s.Snapshot().Restarts >= 2 })
	waiting := make(chan error, 1)
	go func() {
		release, err := s.Acquire(context.WithoutCancel(t.Context()))
		if err == nil {
			release()
		}
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
	if _, err := s.Acquire(t.Context()); failure.ClassOf(err, "") != failure.Unhealthy {
		t.Errorf("after its end: %v", err)
	}
}

func TestASharedServerThatCannotStartIsQuarantined(t *testing.T) {
	s, _ := server(t, func(c *ServerConfig) {
		c.Restart = RestartPolicy{Base: time.Millisecond, QuarantineAt: 3, QuarantineFor: time.Hour}
	}, "SERVER_BROKEN=1")
	s.Start()
	_, err := s.Acquire(t.Context())
	if failure.ClassOf(err, "") != failure.Unhealthy {
		t.Fatal(err)
	}
	if n := s.Snapshot(); n.State != Quarantined || n.Restarts != 2 {
		t.Errorf("%+v", n)
	}
}
