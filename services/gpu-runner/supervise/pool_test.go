package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/fakechild"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

// children is a PoolConfig whose workers are all such a child; they write down their pids.
func children(t *testing.T, c fakechild.Config, workers int) (PoolConfig, string) {
	t.Helper()
	c.PIDFile = inDir(t, "pids")
	return PoolConfig{
		Engine: "null", Workers: workers, Log: slog.New(slog.DiscardHandler), Grace: patience,
		Launch:  func(context.Context, Launch) (Command, error) { return command(c), nil },
		Restart: RestartPolicy{Base: time.Millisecond, Cap: 10 * time.Millisecond, QuarantineAt: 1000},
	}, c.PIDFile
}

// startPool starts a pool and sees to it that the test leaves no process behind.
func startPool(t *testing.T, cfg PoolConfig, pids string) *Pool {
	t.Helper()
	p := NewPool(cfg)
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Stop(ended)
		allGone(t, pids)
	})
	return p
}

var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func job(t *testing.T, id, base string) Job {
	t.Helper()
	return Job{Request: request(t, id, base), Priority: Bulk}
}

// convert hands a job in and returns where its error will be.
func convert(t *testing.T, p *Pool, j Job) chan error {
	t.Helper()
	result := make(chan error, 1)
	go func() {
		_, err := p.Convert(context.WithoutCancel(t.Context()), j)
		result <- err
	}()
	pipelinetest.Eventually(t, j.Request.ID+" is known to the pool", func() bool {
		s := p.Snapshot()
		return len(result) > 0 || slices.ContainsFunc(s.Waiting, func(w WaitingJob) bool { return w.ID == j.Request.ID }) ||
			slices.ContainsFunc(s.Workers, func(w WorkerSnapshot) bool { return w.Job != nil && w.Job.ID == j.Request.ID })
	})
	return result
}

func TestPoolConvertsInParallel(t *testing.T) {
	gate := inDir(t, "gate")
	cfg, pids := children(t, fakechild.Config{SlowFile: map[string]string{"slow.pdf": gate}}, 2)
	p := startPool(t, cfg, pids)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	one, two := convert(t, p, job(t, "c-1", "slow.pdf")), convert(t, p, job(t, "c-2", "slow.pdf"))
	pipelinetest.Eventually(t, "both workers show progress", func() bool {
		s := p.Snapshot()
		return slices.IndexFunc(s.Workers, func(w WorkerSnapshot) bool { return w.Job == nil || w.Job.Phase != "faking" }) < 0
	})
	for _, w := range p.Snapshot().Workers {
		if w.State != Busy || w.PID == 0 || w.RSS == 0 || w.Versions["fakechild"] != "1" || w.Device != "cpu" || w.Job.Pages != "1-3" || w.JobsLimit == 0 {
			t.Errorf("%+v", w)
		}
	}
	touch(t, gate)
	if err := errors.Join(<-one, <-two); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for _, w := range p.Snapshot().Workers {
		if w.State != Unloaded || w.JobsTotal != 1 || w.Restarts != 0 {
			t.Errorf("after the end: %+v", w)
		}
	}
}

func TestInteractiveGoesBeforeBulkInOrderOfArrival(t *testing.T) {
	gate := inDir(t, "gate")
	cfg, pids := children(t, fakechild.Config{SlowFile: map[string]string{"slow.pdf": gate}}, 1)
	p := startPool(t, cfg, pids)
	results := []chan error{convert(t, p, job(t, "first", "slow.pdf"))}
	pipelinetest.Eventually(t, "the first one runs", func() bool { return p.Snapshot().Workers[0].State == Busy })
	var mu sync.Mutex
	var order []string
	for i, priority := range []Priority{Bulk, Bulk, Interactive, Bulk, Interactive} {
		j := job(t, fmt.Sprintf("%s-%d", priority, i), "a.pdf")
		j.Priority = priority
		j.Progress = func(m protocol.Progress) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, m.ID)
		}
		finished := make(chan error, 1)
		go func() {
			outcome, err := p.Convert(context.WithoutCancel(t.Context()), j)
			if outcome.Queued <= 0 {
				err = errors.Join(err, fmt.Errorf("%s didn't queue", j.Request.ID))
			}
			finished <- err
		}()
		pipelinetest.Eventually(t, "it waits", func() bool { return len(p.Snapshot().Waiting) == i+1 })
		results = append(results, finished)
	}
	waiting := p.Snapshot().Waiting
	if why := waiting[3].Why; !strings.Contains(why, "4 jobs") || !strings.Contains(why, "1 busy") {
		t.Errorf("why does the last bulk job wait? %q", why)
	}
	touch(t, gate)
	for _, r := range results {
		if err := <-r; err != nil {
			t.Error(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"interactive-2", "interactive-4", "bulk-0", "bulk-1", "bulk-3"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
}

func TestACrashCostsOneJobAndTheWorkerComesBack(t *testing.T) {
	cfg, pids := children(t, fakechild.Config{OnFile: map[string]fakechild.Fault{
		"crash.pdf": {Signal: int(syscall.SIGSEGV)}, "hang.pdf": {Hang: true}, "assert.pdf": {Error: "device-assert", ContextIntact: true},
		"bug.pdf": {Error: "model-bug", ContextIntact: true},
	}, Grandchild: true}, 1)
	p := startPool(t, cfg, pids)
	restarts := 0
	for _, c := range []struct {
		file   string
		class  failure.Class
		killed bool
	}{
		{"good.pdf", "", false},
		{"crash.pdf", failure.Crash, true},
		{"hang.pdf", failure.Timeout, true},
		{"assert.pdf", failure.DeviceAssert, true},
		{"bug.pdf", failure.ModelBug, false},
		{"good.pdf", "", false},
	} {
		j := job(t, "c", c.file)
		if c.class == failure.Timeout {
			j.Request.Silence = 100 * time.Millisecond
		}
		if _, err := p.Convert(t.Context(), j); failure.ClassOf(err, "") != c.class {
			t.Fatalf("%s: %v", c.file, err)
		}
		if c.killed {
			restarts++
		}
	}
	w := p.Snapshot().Workers[0]
	if w.Restarts != restarts || w.JobsTotal != 3 || w.LastErrorClass != failure.ModelBug || w.LastErrorAt.IsZero() {
		t.Errorf("%+v, want %d restarts", w, restarts)
	}
}

func TestAnOOMIsFollowedByAProbe(t *testing.T) {
	oom := fakechild.Fault{Error: "oom", ContextIntact: true}
	for _, child := range []fakechild.Config{{}, {ProbeFails: true}, {At: faults{fakechild.AtProbe: oom}}} { // the last runs out of memory again
		sick := child.ProbeFails || child.At != nil
		child.OnFile = map[string]fakechild.Fault{"big.pdf": oom}
		cfg, pids := children(t, child, 1)
		p := startPool(t, cfg, pids)
		if _, err := p.Convert(t.Context(), job(t, "c-1", "big.pdf")); failure.ClassOf(err, "") != failure.OOM {
			t.Fatal(err)
		}
		if _, err := p.Convert(t.Context(), job(t, "c-2", "good.pdf")); err != nil {
			t.Fatal(err)
		}
		if w := p.Snapshot().Workers[0]; (w.Restarts == 1) != sick {
			t.Errorf("probe fails: %t, restarts: %d", sick, w.Restarts)
		}
	}
}

func TestAJobIsNotChargedForAWorkerThatDiedBeforeIt(t *testing.T) {
	cfg, pids := children(t, fakechild.Config{}, 1)
	p := startPool(t, cfg, pids)
	for range 10 {
		if err := p.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		if pid := p.Snapshot().Workers[0].PID; pid != 0 {
			_ = unix.Kill(pid, unix.SIGSTOP) // so that it can't take the request before it dies
			done := convert(t, p, job(t, "c", "a.pdf"))
			_ = unix.Kill(pid, unix.SIGKILL)
			if err := <-done; err != nil && failure.ClassOf(err, "") != failure.Crash {
				t.Fatal(err)
			}
		}
	}
}

func TestRecycling(t *testing.T) {
	for _, overlap := range []bool{true, false} {
		cfg, pids := children(t, fakechild.Config{}, 1)
		cfg.RecycleAfter, cfg.RecycleJitter, cfg.Seed = 5, 2, 42
		if !overlap {
			cfg.Rooms = single{}
		}
		p := startPool(t, cfg, pids)
		used := map[string]int{}
		pipelinetest.Eventually(t, "three processes have filled the place", func() bool {
			j := job(t, "c", "a.pdf")
			outcome, err := p.Convert(t.Context(), j)
			if err != nil {
				t.Fatal(err)
			}
			used[fmt.Sprint(outcome.Info.PID)]++
			return len(used) == 4
		})
		for pid, jobs := range used {
			if limit := 7; !overlap && jobs > limit {
				t.Errorf("worker %s did %d jobs", pid, jobs)
			}
		}
		if w := p.Snapshot().Workers[0]; w.LastError != "" {
			t.Errorf("recycling looks like a failure: %+v", w)
		}
	}
}

// single has room for one process a place.
type single struct{ anywhere }

func (single) Enter(ctx context.Context, p Place) (Room, error) {
	if p.Beside {
		return nil, ErrNoRoom
	}
	return anywhere{}.Enter(ctx, p)
}

func TestRecycleNumbersDifferAndRepeat(t *testing.T) {
	cfg := PoolConfig{Seed: 7}.withDefaults()
	seen := map[int]bool{}
	for worker := range 8 {
		a, b := cfg.lifetimes(worker), cfg.lifetimes(worker)
		for range 50 {
			n := a()
			if seen[n] = true; n != b() || n < 80 || n > 120 {
				t.Fatalf("worker %d: %d", worker, n)
			}
		}
	}
	if len(seen) < 30 {
		t.Errorf("only %d different numbers", len(seen))
	}
}

// The old worker goes on while its replacement loads, and when that fails.
func TestRecyclingKeepsServingWhileTheReplacementFails(t *testing.T) {
	cfg, pids := children(t, fakechild.Config{}, 1)
	cfg.RecycleAfter, cfg.RecycleJitter = 2, 1
	good := cfg.Launch
	var starts atomic.Int32
	cfg.Launch = func(ctx context.Context, l Launch) (Command, error) {
		if starts.Add(1) == 2 {
			return Command{}, errors.New("the disk is full")
		}
		return good(ctx, l)
	}
	p := startPool(t, cfg, pids)
	first := 0
	pipelinetest.Eventually(t, "the third start replaces the first", func() bool {
		outcome, err := p.Convert(t.Context(), job(t, "c", "a.pdf"))
		if err != nil {
			t.Fatal(err)
		}
		if first == 0 {
			first = outcome.Info.PID
		}
		return outcome.Info.PID != first
	})
	if n := starts.Load(); n < 3 {
		t.Errorf("%d starts", n)
	}
}

func TestQuarantineFailsJobsAtOnceAndLoadEndsIt(t *testing.T) {
	state := inDir(t, "starts")
	cfg, pids := children(t, fakechild.Config{FailStarts: 3, StateFile: state}, 1)
	cfg.Restart = RestartPolicy{Base: time.Millisecond, QuarantineAt: 3, QuarantineFor: time.Hour}
	var launches []Launch
	good := cfg.Launch
	cfg.Launch = func(ctx context.Context, l Launch) (Command, error) {
		launches = append(launches, l)
		return good(ctx, l)
	}
	p := startPool(t, cfg, pids)
	if _, err := p.Convert(t.Context(), job(t, "c-1", "a.pdf")); failure.ClassOf(err, "") != failure.Unhealthy || !strings.Contains(err.Error(), "quarantine") {
		t.Fatalf("%v", err)
	}
	if err := p.WaitReady(t.Context()); failure.ClassOf(err, "") != failure.Unhealthy {
		t.Errorf("wait: %v", err)
	}
	w := p.Snapshot().Workers[0]
	if w.State != Quarantined || w.NextStart.IsZero() || !strings.Contains(w.Reason, "quarantine") || w.LastErrorClass != failure.Crash {
		t.Errorf("%+v", w)
	}
	if l := launches[2]; l.Failures != 2 || !errors.Is(l.Last, ErrNoHello) {
		t.Errorf("the third launch knew %+v", l)
	}
	p.Load(0)
	pipelinetest.Eventually(t, "the worker is back", func() bool { return p.Snapshot().Ready() == 1 })
	if _, err := p.Convert(t.Context(), job(t, "c-2", "a.pdf")); err != nil {
		t.Error(err)
	}
}

func TestEngineMissingIsSaidAsSuch(t *testing.T) {
	cfg, pids := children(t, fakechild.Config{}, 2)
	cfg.Launch = func(context.Context, Launch) (Command, error) {
		return Command{}, failure.Newf(failure.EngineMissing, "find", "python", "no python3").WithHint("install it")
	}
	cfg.Restart = RestartPolicy{Base: time.Millisecond, QuarantineAt: 2, QuarantineFor: time.Hour}
	p := startPool(t, cfg, pids)
	_, err := p.Convert(t.Context(), job(t, "c", "a.pdf"))
	if failure.ClassOf(err, "") != failure.EngineMissing || !strings.Contains(err.Error(), "install it") || strings.Contains(err.Error(), "quarantine") {
		t.Errorf("%v", err)
	}
}

func TestUnloadFinishesTheJobInHandAndLoadComesBack(t *testing.T) {
	gate := inDir(t, "gate")
	cfg, pids := children(t, fakechild.Config{SlowFile: map[string]string{"slow.pdf": gate}}, 1)
	p := startPool(t, cfg, pids)
	slow := convert(t, p, job(t, "c-1", "slow.pdf"))
	pipelinetest.Eventually(t, "it runs", func() bool { return p.Snapshot().Workers[0].State == Busy })
	p.Unload(0)
	next := convert(t, p, job(t, "c-2", "a.pdf"))
	touch(t, gate)
	if err := <-slow; err != nil {
		t.Error(err)
	}
	pipelinetest.Eventually(t, "the worker is unloaded", func() bool { return p.Snapshot().Workers[0].State == Unloaded })
	allGone(t, pids)
	if s := p.Snapshot(); len(s.Waiting) != 1 || !strings.Contains(s.Waiting[0].Why, "1 unloaded") {
		t.Errorf("%+v", s.Waiting)
	}
	p.Load(0)
	if err := <-next; err != nil {
		t.Error(err)
	}
}

func TestUnloadEndsAStart(t *testing.T) {
	cfg, pids := children(t, fakechild.Config{At: faults{fakechild.AtReady: {Hang: true}}}, 1)
	p := startPool(t, cfg, pids)
	pipelinetest.Eventually(t, "it starts", func() bool { return len(pidsIn(t, pids)) == 1 })
	p.Unload(0)
	pipelinetest.Eventually(t, "it is unloaded", func() bool { return p.Snapshot().Workers[0].State == Unloaded })
	allGone(t, pids)
}

func TestStopLetsTheJobInHandFinish(t *testing.T) {
	gate := inDir(t, "gate")
	cfg, pids := children(t, fakechild.Config{SlowFile: map[string]string{"slow.pdf": gate}}, 1)
	p := startPool(t, cfg, pids)
	running := convert(t, p, job(t, "c-1", "slow.pdf"))
	pipelinetest.Eventually(t, "it runs", func() bool { return p.Snapshot().Workers[0].State == Busy && p.Snapshot().Workers[0].Job.Phase != "" })
	waiting := convert(t, p, job(t, "c-2", "a.pdf"))
	stopped := make(chan error, 1)
	go func() { stopped <- p.Stop(context.WithoutCancel(t.Context())) }()
	if err := <-waiting; !errors.Is(err, ErrStopped) {
		t.Errorf("the waiting one: %v", err)
	}
	touch(t, gate)
	if err := <-running; err != nil {
		t.Errorf("the one in hand: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := p.Convert(t.Context(), job(t, "c-3", "a.pdf")); !errors.Is(err, ErrStopped) {
		t.Errorf("after the end: %v", err)
	}
}

func TestStopKillsAfterTheGrace(t *testing.T) {
	for name, c := range map[string]fakechild.Config{
		"busy":         {OnFile: map[string]fakechild.Fault{"a.pdf": {Hang: true}}, Grandchild: true},
		"deaf":         {HangOnStop: true, Grandchild: true},
		"never loaded": {At: faults{fakechild.AtReady: {Hang: true}}, Grandchild: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, pids := children(t, c, 2)
			cfg.Grace = 100 * time.Millisecond
			p := startPool(t, cfg, pids)
			pipelinetest.Eventually(t, "all run", func() bool { return len(pidsIn(t, pids)) == 4 && (name == "never loaded" || p.Snapshot().Ready() == 2) })
			var running chan error
			if name == "busy" {
				running = convert(t, p, job(t, "c-1", "a.pdf"))
				pipelinetest.Eventually(t, "it runs", func() bool { return p.Snapshot().Workers[0].State == Busy })
			}
			_ = p.Stop(context.WithoutCancel(t.Context()))
			if running != nil {
				if err := <-running; !errors.Is(err, ErrStopped) || failure.ClassOf(err, "none") != "none" {
					t.Errorf("%v", err)
				}
			}
			allGone(t, pids)
		})
	}
}

func TestConvertGivesUpWithItsContext(t *testing.T) {
	cfg, pids := children(t, fakechild.Config{OnFile: map[string]fakechild.Fault{"hang.pdf": {Hang: true}}}, 1)
	p := startPool(t, cfg, pids)
	ctx, cancel := context.WithCancel(t.Context())
	running, waiting := make(chan error, 1), make(chan error, 1)
	go func() { _, err := p.Convert(ctx, job(t, "c-1", "hang.pdf")); running <- err }()
	pipelinetest.Eventually(t, "it runs", func() bool { return p.Snapshot().Workers[0].State == Busy })
	go func() { _, err := p.Convert(ctx, job(t, "c-2", "hang.pdf")); waiting <- err }()
	pipelinetest.Eventually(t, "the other waits", func() bool { return len(p.Snapshot().Waiting) == 1 })
	cancel()
	for _, r := range []chan error{running, waiting} {
		if err := <-r; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
	if _, err := p.Convert(t.Context(), job(t, "c-3", "a.pdf")); err != nil {
		t.Errorf("the worker didn't come back: %v", err)
	}
}

// Everything at once: workers crash, hang, die idle and are recycled, jobs come and go; each job gets exactly one answer.
func TestPoolStress(t *testing.T) {
	cfg, pids := children(t, fakechild.Config{OnFile: map[string]fakechild.Fault{
		"3.pdf": {Signal: int(syscall.SIGSEGV)}, "5.pdf": {Error: "oom", ContextIntact: true}, "7.pdf": {HalfLine: true}, "9.pdf": {Error: "engine-error"},
	}}, 3)
	cfg.RecycleAfter, cfg.RecycleJitter = 4, 2
	cfg.Registry = registry(t)
	p := startPool(t, cfg, pids)
	var jobs, trouble sync.WaitGroup
	var answered, good atomic.Int32
	over := make(chan struct{})
	trouble.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-over:
				return
			case <-time.After(20 * time.Millisecond):
			}
			if s := p.Snapshot().Workers[i%3]; s.PID != 0 && s.State == Idle && i%4 == 0 {
				_ = unix.Kill(s.PID, unix.SIGKILL)
			}
			p.Unload(i % 3)
			p.Load(i % 3)
		}
	})
	for g := range 6 {
		jobs.Go(func() {
			for i := range 15 {
				j := job(t, fmt.Sprintf("c-%d-%d", g, i), fmt.Sprintf("%d.pdf", i%11))
				j.Priority = Priority(i % 2)
				_, err := p.Convert(context.WithoutCancel(t.Context()), j)
				answered.Add(1)
				if err == nil {
					good.Add(1)
				} else if failure.ClassOf(err, "") == "" {
					t.Errorf("%s: %v", j.Request.ID, err)
				}
			}
		})
	}
	jobs.Wait()
	close(over)
	trouble.Wait()
	if answered.Load() != 90 || good.Load() < 30 {
		t.Errorf("%d answers, %d good", answered.Load(), good.Load())
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	allGone(t, pids)
	if left, _ := os.ReadDir(cfg.Registry.dir); len(left) > 0 {
		t.Errorf("%d records left", len(left))
	}
}

func TestStartStopStress(t *testing.T) {
	cfg, pids := children(t, fakechild.Config{Grandchild: true}, 2)
	for i := range 20 {
		p := NewPool(cfg)
		if i%5 != 4 {
			if err := p.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if i%2 == 0 && i%5 != 4 {
			if err := p.WaitReady(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var stops sync.WaitGroup
		for range 2 {
			stops.Go(func() { _ = p.Stop(context.WithoutCancel(t.Context())) })
		}
		stops.Wait()
		if err := p.Start(t.Context()); err == nil {
			t.Fatal("a pool started twice")
		}
	}
	allGone(t, pids)
}

func registry(t *testing.T) *Registry {
	t.Helper()
	r, err := NewRegistry(filepath.Join(t.TempDir(), "workers"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
