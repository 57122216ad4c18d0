package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/cgroup"
	"github.com/pdfmill/pdfmill/services/gpu-runner/fakechild"
)

// doomed is the environment variable that makes the test binary a service that will be killed: "PIDFILE REGISTRY CGROUPS", the last of which may be empty.
const doomed = "SUPERVISE_DOOMED_PARENT"

// becomeDoomedParent keeps a pool with a registry until somebody kills it.
func becomeDoomedParent() {
	order, ordered := os.LookupEnv(doomed)
	if !ordered {
		return
	}
	words := strings.Split(order, " ")
	pids, dir, grouped := words[0], words[1], words[2]
	log := slog.New(slog.DiscardHandler)
	var groups *cgroup.Tree
	if grouped != "" {
		var err error
		if groups, err = cgroup.Open(context.Background(), grouped); err != nil {
			panic(err)
		}
	}
	r, err := NewRegistry(dir, log)
	if err != nil {
		panic(err)
	}
	p := NewPool(PoolConfig{Engine: "null", Workers: 2, Log: log, Registry: r, Groups: groups, Launch: func(context.Context, Launch) (Command, error) {
		return command(fakechild.Config{PIDFile: pids, Grandchild: true, Stray: grouped != "", HangOnStop: true}), nil
	}})
	if err := p.Start(context.Background()); err != nil {
		panic(err)
	}
	if err := p.WaitReady(context.Background()); err != nil {
		panic(err)
	}
	select {}
}

// killed starts a service with two workers and their grandchildren, kills it the hard way, and returns what it left. With a folder of control groups its workers are in
// some, and the grandchildren are strays.
func killed(t *testing.T, grouped string) (pids string, dir string) {
	t.Helper()
	pids, dir = inDir(t, "pids"), filepath.Join(t.TempDir(), "workers")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), doomed+"="+pids+" "+dir+" "+grouped)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // whatever this test finds wrong, nothing stays behind
		for _, pid := range pidsIn(t, pids) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	})
	pipelinetest.Eventually(t, "two workers and their grandchildren run and are recorded", func() bool {
		entries, _ := filepath.Glob(filepath.Join(dir, "*"+recordSuffix))
		return len(pidsIn(t, pids)) == 4 && len(entries) == 2
	})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	return pids, dir
}

func TestNoWorkerOutlivesAKilledService(t *testing.T) {
	pids, dir := killed(t, "")
	// The kernel ends the workers themselves. Each wrote its own pid before that of its grandchild, and only the workers are leaders.
	var workers, others []int
	for _, pid := range pidsIn(t, pids) {
		if stat, ok := statOf(pid); ok && stat.group != pid {
			others = append(others, pid)
		} else {
			workers = append(workers, pid)
		}
	}
	if len(workers) != 2 || len(others) != 2 {
		t.Fatalf("workers %v, grandchildren %v", workers, others)
	}
	for _, pid := range workers {
		pipelinetest.Eventually(t, "the worker is gone", func() bool { return gone(pid) })
	}
	for _, pid := range others {
		if gone(pid) {
			t.Errorf("the grandchild %d is gone already: this test proves nothing about the sweep", pid)
		}
	}
	r, err := NewRegistry(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.Sweep(t.Context()); err != nil || n != 2 {
		t.Errorf("swept %d, %v", n, err)
	}
	allGone(t, pids)
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%d records left", len(left))
	}
	if n, err := r.Sweep(t.Context()); err != nil || n != 0 {
		t.Errorf("a second sweep: %d, %v", n, err)
	}
}

// A record that doesn't agree in everything must not cost a process its life.
func TestSweepKillsOnlyWhatAgreesInEverything(t *testing.T) {
	r := registry(t)
	cfg := config(fakechild.Config{})
	cfg.Registry = r
	p := start(t, cfg)
	file := r.path(p.token)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var good record
	if err := json.Unmarshal(raw, &good); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the record with the token has mode %v (%v)", info.Mode(), err)
	}
	write := func(rec record) {
		raw, _ := json.Marshal(rec)
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := r.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("its owner lives: swept %d, %v", n, err)
	}
	for name, change := range map[string]func(*record){
		"another start time": func(r *record) { r.Start++ },
		"another token":      func(r *record) { r.Token = newToken() },
		"another process":    func(r *record) { r.PID = os.Getpid() },
	} {
		stale := good
		stale.OwnerStart++ // its owner is gone
		change(&stale)
		write(stale)
		if n, err := r.Sweep(t.Context()); n != 0 || err != nil {
			t.Errorf("%s: swept %d, %v", name, n, err)
		}
	}
	if gone(p.Info().PID) {
		t.Fatal("killed by a record that didn't agree")
	}
	stale := good
	stale.OwnerStart++
	write(stale)
	if n, err := r.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("a stale worker: swept %d, %v", n, err)
	}
	<-p.Done()
}

func TestSweepDropsRubbish(t *testing.T) {
	r := registry(t)
	for i, rubbish := range []string{"", "{", `{"pid":1,"token":"x"}`, `{"pid":0}`} {
		if err := os.WriteFile(r.path(fmt.Sprint(i)), []byte(rubbish), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := r.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if left, _ := os.ReadDir(r.dir); len(left) > 0 {
		t.Errorf("%d records left", len(left))
	}
}

// Pdeathsig is about the thread that started the worker, not the process: threads that end must not take a worker along.
func TestEndingThreadsLeaveWorkersAlone(t *testing.T) {
	p := start(t, config(fakechild.Config{}))
	for range 50 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			lockAndEndThread()
		}()
		<-done
	}
	if _, err := p.Convert(t.Context(), request(t, "c", "a.pdf"), nil); err != nil {
		t.Error(err)
	}
	if err := p.Stop(patience); err != nil && !errors.Is(err, ErrGone) {
		t.Error(err)
	}
}
