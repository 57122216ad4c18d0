package supervise

import (
	"context"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/fakechild"
)

// An isolated place does suspects and nothing else, each in a process of its own; ordinary workers never see one.
func TestASuspectHasAProcessOfItsOwn(t *testing.T) {
	cfg, pids := children(t, fakechild.Config{OnFile: map[string]fakechild.Fault{"poison.pdf": {Error: "device-assert"}}}, 1)
	cfg.Isolated = 1
	var mu sync.Mutex
	var launched []Launch
	good := cfg.Launch
	cfg.Launch = func(ctx context.Context, l Launch) (Command, error) {
		mu.Lock()
		defer mu.Unlock()
		launched = append(launched, l)
		return good(ctx, l)
	}
	p := startPool(t, cfg, pids)
	ordinary, err := p.Convert(t.Context(), job(t, "ordinary", "a.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{ordinary.Info.PID: true}
	for range 3 {
		j := job(t, "suspect", "a.pdf")
		j.Priority = Suspect
		outcome, err := p.Convert(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		if seen[outcome.Info.PID] || !strings.Contains(outcome.Worker, "isolated") {
			t.Errorf("suspect on %s, process %d, which is known: %v", outcome.Worker, outcome.Info.PID, seen)
		}
		seen[outcome.Info.PID] = true
	}
	poison := job(t, "poison", "poison.pdf")
	poison.Priority = Suspect
	if _, err := p.Convert(t.Context(), poison); failure.ClassOf(err, "") != failure.DeviceAssert {
		t.Fatal(err)
	}
	again, err := p.Convert(t.Context(), job(t, "ordinary again", "a.pdf"))
	if err != nil || again.Info.PID != ordinary.Info.PID {
		t.Errorf("the ordinary worker paid for it: %d, then %d, %v", ordinary.Info.PID, again.Info.PID, err)
	}
	if w := p.Snapshot().Workers[0]; w.Restarts != 0 || w.Isolated || w.JobsTotal != 2 {
		t.Errorf("%+v", w)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, l := range launched {
		if l.Isolated != (l.Worker == 1) {
			t.Errorf("launched as %+v", l)
		}
	}
}

// Jobs that kill their isolated process say nothing against its place: the next one starts at once, however many came before.
func TestAPlaceForSuspectsNeverRestsBecauseOfThem(t *testing.T) {
	cfg, pids := children(t, fakechild.Config{OnFile: map[string]fakechild.Fault{"poison.pdf": {Signal: int(syscall.SIGSEGV)}}}, 1)
	cfg.Isolated = 1
	cfg.Restart = RestartPolicy{Base: time.Hour, Cap: time.Hour} // any backoff would be for ever
	p := startPool(t, cfg, pids)
	for range 3 {
		poison := job(t, "poison", "poison.pdf")
		poison.Priority = Suspect
		if _, err := p.Convert(t.Context(), poison); failure.ClassOf(err, "") != failure.Crash {
			t.Fatal(err)
		}
	}
	if w := p.Snapshot().Workers[1]; w.State == Backoff || w.JobsTotal != 3 {
		t.Errorf("%+v", w)
	}
}

// A busy isolated place makes other suspects wait, even where ordinary workers idle; and ready is said of ordinary workers alone.
func TestSuspectsWaitForTheirPlace(t *testing.T) {
	gate := inDir(t, "gate")
	cfg, pids := children(t, fakechild.Config{SlowFile: map[string]string{"slow.pdf": gate}}, 2)
	cfg.Isolated = 1
	p := startPool(t, cfg, pids)
	suspect := func(id, file string) Job {
		j := job(t, id, file)
		j.Priority = Suspect
		return j
	}
	first := convert(t, p, suspect("first", "slow.pdf"))
	pipelinetest.Eventually(t, "it runs", func() bool { return p.Snapshot().Workers[2].State == Busy })
	second := convert(t, p, suspect("second", "a.pdf"))
	if _, err := p.Convert(t.Context(), job(t, "ordinary", "a.pdf")); err != nil {
		t.Fatal(err)
	}
	s := p.Snapshot()
	if len(s.Waiting) != 1 || s.Waiting[0].ID != "second" || s.Waiting[0].Why == "" {
		t.Errorf("%+v", s.Waiting)
	}
	pipelinetest.Eventually(t, "the two ordinary ones are ready, and the isolated one doesn't count", func() bool { return p.Snapshot().Ready() == 2 })
	touch(t, gate)
	for _, done := range []chan error{first, second} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// Retire ends a process when its job is done and fills the place anew, and none of that looks like a failure.
func TestRetireFinishesTheJobInHandAndFillsThePlaceAnew(t *testing.T) {
	gate := inDir(t, "gate")
	cfg, pids := children(t, fakechild.Config{SlowFile: map[string]string{"slow.pdf": gate}}, 1)
	cfg.Restart = RestartPolicy{Base: time.Hour} // any backoff would be for ever
	p := startPool(t, cfg, pids)
	running := convert(t, p, job(t, "running", "slow.pdf"))
	var before int
	pipelinetest.Eventually(t, "it runs", func() bool { before = p.Snapshot().Workers[0].PID; return p.Snapshot().Workers[0].State == Busy })
	p.Retire(0, "has grown")
	waiting := convert(t, p, job(t, "waiting", "a.pdf"))
	touch(t, gate)
	if err := <-running; err != nil {
		t.Errorf("the job in hand: %v", err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("the one after: %v", err)
	}
	w := p.Snapshot().Workers[0]
	if w.PID == before || w.LastError != "" || w.Restarts != 1 {
		t.Errorf("%+v", w)
	}
	if !gone(before) {
		t.Error("the retired process lives")
	}
	p.Unload(0)
	pipelinetest.Eventually(t, "it is unloaded", func() bool { return p.Snapshot().Workers[0].State == Unloaded })
	p.Retire(0, "there is none") // nothing to do
	p.Load(0)
	if _, err := p.Convert(t.Context(), job(t, "c", "a.pdf")); err != nil {
		t.Error(err)
	}
}

// hasty is a place in which each process is told to leave as soon as it is loaded, the first times.
type hasty struct {
	Room
	loaded func()
}

func (h hasty) Loaded(i Info) {
	h.Room.Loaded(i)
	h.loaded()
}

type hastyRooms struct {
	Rooms
	loaded func()
}

func (h hastyRooms) Enter(ctx context.Context, p Place) (Room, error) {
	room, err := h.Rooms.Enter(ctx, p)
	return hasty{room, h.loaded}, err
}

func TestAProcessThatIsToLeaveAsSoonAsItIsLoadedLeaves(t *testing.T) {
	cfg, pids := children(t, fakechild.Config{}, 1)
	cfg.Restart = RestartPolicy{Base: time.Hour}
	var p *Pool
	ready := make(chan struct{})
	left := 2
	cfg.Rooms = hastyRooms{cfg.withDefaults().Rooms, func() {
		<-ready
		if left--; left >= 0 {
			p.Retire(0, "somebody needs the memory")
		}
	}}
	p = startPool(t, cfg, pids)
	close(ready)
	pipelinetest.Eventually(t, "the third process stays", func() bool {
		w := p.Snapshot().Workers[0]
		return w.State == Idle && w.Restarts == 2
	})
}

// An idle worker must prove from time to time that it can use its device; one that can't, or doesn't answer, is replaced before a job finds out.
func TestIdleWorkersAreProbed(t *testing.T) {
	for name, c := range map[string]struct {
		child fakechild.Config
		sick  bool
	}{
		"well":   {},
		"sick":   {fakechild.Config{ProbeFails: true}, true},
		"silent": {fakechild.Config{At: faults{fakechild.AtProbe: {Hang: true}}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, pids := children(t, c.child, 1)
			cfg.ProbeEvery, cfg.ProbeTimeout = 20*time.Millisecond, 200*time.Millisecond
			p := startPool(t, cfg, pids)
			if !c.sick {
				var first Probed
				pipelinetest.Eventually(t, "it is probed twice", func() bool {
					probed := p.Snapshot().Workers[0].LastProbe
					if probed != nil && first.At.IsZero() {
						first = *probed
					}
					return probed != nil && probed.At.After(first.At)
				})
				if w := p.Snapshot().Workers[0]; !w.LastProbe.OK || w.LastProbe.Detail == "" || w.Restarts != 0 {
					t.Errorf("%+v, %+v", w, w.LastProbe)
				}
				return
			}
			pipelinetest.Eventually(t, "it was replaced twice", func() bool { return len(pidsIn(t, pids)) >= 3 })
			if w := p.Snapshot().Workers[0]; w.LastErrorClass != failure.Unhealthy {
				t.Errorf("%+v", w)
			}
		})
	}
}

func TestAWorkerIsReplacedWhenItIsOldOrHasGrown(t *testing.T) {
	for name, change := range map[string]func(*PoolConfig, *fakechild.Config){
		"old":   func(p *PoolConfig, _ *fakechild.Config) { p.RecycleAge = time.Nanosecond },
		"grown": func(p *PoolConfig, c *fakechild.Config) { p.RecycleGrowth, c.Grow = 64<<20, 48<<20 },
		"young": func(p *PoolConfig, c *fakechild.Config) { p.RecycleGrowth, c.Grow = 1<<30, 1<<20 },
	} {
		t.Run(name, func(t *testing.T) {
			var child fakechild.Config
			cfg := PoolConfig{}
			change(&cfg, &child)
			with, pids := children(t, child, 1)
			with.RecycleAge, with.RecycleGrowth, with.Rooms = cfg.RecycleAge, cfg.RecycleGrowth, single{}
			p := startPool(t, with, pids)
			var used []int
			for range 4 {
				outcome, err := p.Convert(t.Context(), job(t, "c", "a.pdf"))
				if err != nil {
					t.Fatal(err)
				}
				used = append(used, outcome.Info.PID)
			}
			processes := len(slices.Compact(slices.Clone(used)))
			// How much a growing child really holds is its runtime's business, so the exact number isn't asked for.
			if name == "old" && processes != 4 || name == "grown" && processes == 1 || name == "young" && processes != 1 {
				t.Errorf("4 conversions by %d processes: %v", processes, used)
			}
			if w := p.Snapshot().Workers[0]; w.LastError != "" {
				t.Errorf("it looks like a failure: %+v", w)
			}
		})
	}
}
