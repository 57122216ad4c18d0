package gpurunner

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices/devicestest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/gpusim"
	"github.com/pdfmill/pdfmill/services/gpu-runner/schedule"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// These tests run on a simulated card always, and on a real one where `make test-gpu` says that there is one.

// The device that the sim engine uses keeps its contract, whichever it is; what was found is kept for comparison.
func TestTheDeviceKeepsItsContract(t *testing.T) {
	t.Run("gpusim", func(t *testing.T) {
		socket := filepath.Join(t.TempDir(), "gpu")
		broker, err := gpusim.Start(socket, gpusim.DeviceConfig{Total: 24 * gib, ReleaseAfter: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer broker.Close()
		keepsContract(t, socket)
	})
	if devicestest.CardPython() != "" {
		t.Run("torch", func(t *testing.T) { keepsContract(t, gpuTorch) })
	}
}

func keepsContract(t *testing.T, gpu string) {
	p := preparePlant(t, gpu, nil)
	worker, err := build(t.Context(), engineSim, p.config, p.cache, supervise.Launch{}, 1, addresses{}, p.log)
	if err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), worker.Path, "-m", "card.contract")
	cmd.Dir = devicestest.RunnerTests(t)
	cmd.Env = append(os.Environ(), "PDFMILL_GPUSIM="+gpu, "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	t.Log(said.String())
	var found any
	if broken := json.Unmarshal(out.Bytes(), &found); err != nil || broken != nil {
		t.Errorf("%v, %v", err, broken)
	}
	devicestest.SaveFigures(t, "contract-"+filepath.Base(t.Name())+".json", found)
}

// shift is what came of many documents on one shared card. Sizes are bytes.
type shift struct {
	Policy         string  `json:"policy"`
	Device         string  `json:"device"`
	Total          int64   `json:"total"`
	Reserve        int64   `json:"reserve"`
	Stranger       int64   `json:"stranger"` // what it holds when it is small …
	StrangerMost   int64   `json:"stranger_most"`
	StrangerMoves  int     `json:"stranger_moves"`
	Documents      int     `json:"documents"`
	Pages          int     `json:"pages"`
	OOM            int     `json:"oom"`
	OtherFailures  int     `json:"other_failures"`
	LostPages      int     `json:"lost_pages"`
	Seconds        float64 `json:"seconds"`
	PagesPerHour   float64 `json:"pages_per_hour"`
	WorkersMost    int     `json:"workers_most"`
	JobsMost       int     `json:"jobs_most"`
	Samples        int     `json:"samples"` // of what the driver says is used
	UsedMost       int64   `json:"used_most"`
	UsedMostSteady int64   `json:"used_most_steady"` // while the stranger didn't move
	Over           int     `json:"over"`             // samples above total - reserve while it didn't move
	Measured       string  `json:"measured"`
	Evicted        int     `json:"restarts"` // starts of workers that were not the first of their place
	Xids           uint64  `json:"xids"`
}

// crowd is a card that is shared with a stranger.
type crowd struct {
	documents int
	base      int64 // of the stranger
	swing     int64 // how much larger it gets
	step      int64 // at once: less than the reserve, and it waits until the debt is paid
	set       func(bytes int64)
	workers   int
}

func TestTheLedgerSharesACard(t *testing.T) {
	t.Run("gpusim", func(t *testing.T) {
		scale := func(c *Config, _ *schedule.Config) {
			t.Setenv("PDFMILL_SIM_TIME_SCALE", "0.02")
			c.Workers = 5
		}
		device := gpusim.DeviceConfig{Total: 24 * gib, TimeScale: 1, ReleaseAfter: 50 * time.Millisecond}
		p := newPlant(t, scale, device)
		c := crowd{documents: 24, swing: 6 * gib, step: 256 * mib, workers: 5, set: func(n int64) { p.broker.Strangers("sim-0", n) }}
		c.proves(t, p, func() *plant {
			p = newFixedPlant(t, func() *plant { return prepareSimPlant(t, scale, device) }, c.workers)
			return p
		})
	})
	if devicestest.CardPython() != "" {
		t.Run("torch", func(t *testing.T) {
			scale := func(c *Config, _ *schedule.Config) {
				t.Setenv("PDFMILL_SIM_TIME_SCALE", "0.1")
				c.Workers = 6
			}
			p := newCardPlant(t, scale)
			d := p.device()
			stranger := devicestest.StartProcess(t, d.Device)
			c := crowd{documents: 120, base: max(0, d.Total-d.Reserve-24*gib), swing: 6 * gib, step: 512 * mib, workers: 6}
			stranger.Alloc(max(mib, c.base))
			var more []int
			c.set = func(n int64) {
				for int64(len(more))*c.step < n-c.base {
					handle, ok := stranger.TryAlloc(c.step)
					if !ok {
						break // the fixed pool has taken it
					}
					more = append(more, handle)
				}
				for int64(len(more))*c.step > n-c.base {
					stranger.Free(more[len(more)-1])
					more = more[:len(more)-1]
				}
			}
			c.proves(t, p, func() *plant {
				return newFixedPlant(t, func() *plant { return preparePlant(t, gpuTorch, scale) }, c.workers)
			})
		})
	}
}

// proves that the ledger runs out of memory never, beside a stranger that grows and shrinks, and that as many workers as fit idle do.
func (c crowd) proves(t *testing.T, p *plant, fixed func() *plant) {
	c.set(c.base)
	sum := c.run(t, p, "ledger")
	t.Logf("%+v", sum)
	if sum.OOM > 0 || sum.OtherFailures > 0 || sum.LostPages > 0 {
		t.Errorf("with the ledger: %d out of memory, %d other failures, %d pages lost", sum.OOM, sum.OtherFailures, sum.LostPages)
	}
	if sum.Over > 0 || sum.UsedMost > sum.Total {
		t.Errorf("%d of %d samples above the reserve; at most %d of %d used", sum.Over, sum.Samples, sum.UsedMostSteady, sum.Total-sum.Reserve)
	}
	if sum.StrangerMoves == 0 {
		t.Error("the stranger never moved")
	}
	_ = p.engine.pool.Stop(context.Background())
	c.set(c.base)
	without := c.run(t, fixed(), fmt.Sprintf("fixed-%d", c.workers))
	t.Logf("%+v", without)
	if without.OOM == 0 {
		t.Errorf("a fixed pool of %d never runs out of memory here: nothing is proved", c.workers)
	}
	devicestest.SaveFigures(t, "ledger-"+filepath.Base(t.Name())+".json", []shift{sum, without})
}

// run converts the documents; when half of them are done the stranger begins to move.
func (c crowd) run(t *testing.T, p *plant, policy string) shift {
	sum := shift{Policy: policy, Documents: c.documents, Stranger: c.base}
	random := rand.New(rand.NewPCG(1, 2))
	type one struct {
		path  string
		pages int
	}
	work := make(chan one, c.documents)
	for i := range c.documents {
		texts := make([]string, 4+random.IntN(29))
		for n := range texts {
			texts[n] = fmt.Sprintf("page %d of document %d", n+1, i)
		}
		sum.Pages += len(texts)
		work <- one{p.document(fmt.Sprintf("%s-%03d", policy, i), texts...), len(texts)}
	}
	close(work)

	var moving atomic.Bool
	var done atomic.Int64
	ended := make(chan struct{})
	var watchers sync.WaitGroup
	watchers.Go(func() { c.watch(p, &sum, &moving, ended) })
	watchers.Go(func() { c.move(p, &sum, &moving, &done, ended) })
	began := time.Now()
	var mu sync.Mutex
	var group sync.WaitGroup
	for range c.workers + 1 { // one waits always
		group.Go(func() {
			for d := range work {
				o := p.convert(d.path, d.pages)
				done.Add(1)
				mu.Lock()
				for _, class := range o.classes {
					if class == failure.OOM {
						sum.OOM++
					} else {
						sum.OtherFailures++
					}
				}
				for _, became := range o.pages {
					if became != "ok" {
						sum.LostPages++
					}
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	sum.Seconds = time.Since(began).Seconds()
	sum.PagesPerHour = float64(sum.Pages-sum.LostPages) / sum.Seconds * 3600
	close(ended)
	watchers.Wait()
	for _, w := range p.engine.pool.Snapshot().Workers {
		sum.Evicted += w.Restarts
	}
	return sum
}

// watch samples what the driver says.
func (c crowd) watch(p *plant, sum *shift, moving *atomic.Bool, ended chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		steady := !moving.Load()
		list, err := p.gpus.Read(context.Background())
		if err != nil {
			p.t.Error(err)
			return
		}
		r, d := list[0], p.device()
		if d.Total > 0 { // the fixed pool keeps no books
			sum.Reserve, sum.Measured = d.Reserve, d.Measured
		}
		sum.Device, sum.Total, sum.Xids = r.Model, r.Total, r.Xids
		sum.Samples++
		sum.UsedMost = max(sum.UsedMost, r.Used)
		sum.WorkersMost, sum.JobsMost = max(sum.WorkersMost, d.Workers), max(sum.JobsMost, d.Jobs)
		if steady && !moving.Load() {
			sum.UsedMostSteady = max(sum.UsedMostSteady, r.Used)
			if d.Total > 0 && r.Used > r.Total-d.Reserve {
				sum.Over++
			}
		}
	}
}

// move makes the stranger grow and shrink, again and again: never by more than a step before the books are in order again.
func (c crowd) move(p *plant, sum *shift, moving *atomic.Bool, done *atomic.Int64, ended chan struct{}) {
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	held, up := c.base, true
	for {
		select {
		case <-ended:
			return
		case <-pause.C:
		}
		if d := p.device(); done.Load() < int64(c.documents)/2 || d.Free < 0 || (d.Total > 0 && d.Strangers < held) {
			continue
		}
		moving.Store(true)
		switch {
		case up && held-c.base >= c.swing:
			up = false
		case !up && held <= c.base:
			up = true
		}
		if up {
			held += c.step
		} else {
			held -= c.step
		}
		c.set(held)
		sum.StrangerMoves++
		sum.StrangerMost = max(sum.StrangerMost, held)
	}
}

// newFixedPlant starts so many workers on the first device of a plant, without a ledger.
func newFixedPlant(t *testing.T, prepare func() *plant, workers int) *plant {
	t.Helper()
	p := prepare()
	readings, err := p.gpus.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.engine.pool = supervise.NewPool(supervise.PoolConfig{
		Engine: engineSim, Workers: workers, Log: p.log,
		Launch: func(ctx context.Context, l supervise.Launch) (supervise.Command, error) {
			if readings[0].Kind != devices.KindHost {
				l.Device = readings[0].ID
			}
			return build(ctx, engineSim, p.config, p.cache, l, workers, addresses{}, p.log)
		},
	})
	if err := p.engine.pool.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.engine.pool.Stop(context.Background()); _ = p.gpus.Close() })
	if err := p.engine.pool.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}
