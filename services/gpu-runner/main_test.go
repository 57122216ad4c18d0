package gpurunner

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/config"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices/devicestest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/gpusim"
	"github.com/pdfmill/pdfmill/services/gpu-runner/schedule"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// patience bounds every wait in these tests; nothing is asserted about how long things take.
const patience = 60 * time.Second

// plant is the part of the service that drives workers: real processes of the real runner, engine sim, on simulated devices.
type plant struct {
	*Service
	t      *testing.T
	broker *gpusim.Broker
	engine *engine
	dir    string
	cache  string
}

// newPlant starts workers on simulated devices; change may change the configuration before that.
func newPlant(t *testing.T, change func(*Config, *schedule.Config), configs ...gpusim.DeviceConfig) *plant {
	t.Helper()
	p := prepareSimPlant(t, change, configs...)
	p.run()
	return p
}

func prepareSimPlant(t *testing.T, change func(*Config, *schedule.Config), configs ...gpusim.DeviceConfig) *plant {
	t.Helper()
	t.Setenv("PDFMILL_SIM_TIME_SCALE", "0.001")
	socket := filepath.Join(t.TempDir(), "gpu")
	for i := range configs {
		if configs[i].TimeScale == 0 {
			configs[i].TimeScale = 0.01
		}
	}
	broker, err := gpusim.Start(socket, configs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	p := preparePlant(t, socket, change)
	p.broker = broker
	return p
}

// newCardPlant starts workers on the real card, where their memory is real.
func newCardPlant(t *testing.T, change func(*Config, *schedule.Config)) *plant {
	t.Helper()
	p := preparePlant(t, gpuTorch, change)
	if p.gpus == nil {
		t.Fatal("PDFMILL_CARD_PYTHON is set, and there is no driver")
	}
	p.run()
	return p
}

// preparePlant makes a plant whose workers are not started yet.
func preparePlant(t *testing.T, gpu string, change func(*Config, *schedule.Config)) *plant {
	t.Helper()
	cache, err := config.CacheDir(os.Getenv("PDFMILL_CACHE"))
	if err != nil {
		t.Fatal(err)
	}
	log := telemetry.Discard()
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	dir := t.TempDir()
	c := Config{
		Serve: []string{engineSim}, GPU: "auto", Cgroup: "none", GPUSim: gpu, AllocConf: "expandable_segments:True", TimeoutBase: patience, TimeoutPage: time.Second,
		Silence: patience, IdleUnload: time.Hour, ProbeEvery: time.Hour, RecycleAge: time.Hour, Scratch: filepath.Join(dir, "scratch"),
		Runner: devicestest.CardPython(), interpreters: &interpreters{},
	}
	if err := os.MkdirAll(c.Scratch, 0o700); err != nil {
		t.Fatal(err)
	}
	sc := schedule.Config{Log: log, Every: 20 * time.Millisecond}
	if change != nil {
		change(&c, &sc)
	}
	s := &Service{config: c, engines: map[string]*engine{}, log: log}
	readings, err := s.openGPUs()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.openGroups(); err != nil {
		t.Fatal(err)
	}
	sc.GPU = s.gpus
	s.scheduler = schedule.New(sc)
	e, err := newEngine(engineSim, c, cache, s.scheduler, readings, s.groups, log)
	if err != nil {
		t.Fatal(err)
	}
	s.engines[engineSim] = e
	return &plant{Service: s, t: t, engine: e, dir: dir, cache: cache}
}

func (p *plant) run() {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.t.Context()))
	var group sync.WaitGroup
	p.scheduler.Measure(ctx)
	group.Go(func() { p.scheduler.Run(ctx) })
	if err := p.engine.pool.Start(ctx); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = p.engine.pool.Stop(context.Background())
		pipelinetest.Eventually(p.t, "the books are empty at the end", func() bool {
			for _, b := range p.scheduler.Snapshot() {
				if b.Residents != 0 || b.Reserved != 0 || b.Workers != 0 || b.Jobs != 0 {
					return false
				}
			}
			return true
		})
		cancel()
		group.Wait()
		_ = p.gpus.Close()
		_ = os.Remove(cells(p.config.Scratch)) // which goes when nothing is in it
		if left, _ := os.ReadDir(p.config.Scratch); len(left) > 0 {
			p.t.Errorf("left in scratch: %v", left)
		}
	})
	if err := p.engine.pool.WaitReady(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// device is the first device's books.
func (p *plant) device() schedule.DeviceSnapshot {
	for _, d := range p.scheduler.Snapshot() {
		if d.Kind != devices.KindHost {
			return d
		}
	}
	return schedule.DeviceSnapshot{}
}

func (p *plant) workers() []supervise.WorkerSnapshot { return p.engine.pool.Snapshot().Workers }

// restarts counts starts that were not the first of their place, of workers that are not isolated.
func (p *plant) restarts() (n int) {
	for _, w := range p.workers() {
		if !w.Isolated {
			n += w.Restarts
		}
	}
	return n
}

// document writes a PDF whose pages hold these texts.
func (p *plant) document(name string, texts ...string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name+".pdf")
	if err := os.WriteFile(path, pipelinetest.PDF(texts...), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// outcome is what became of a document's pages.
type outcome struct {
	mu       sync.Mutex
	pages    map[int]string // ok, degraded, or the class of a lost page
	tries    map[string]int // by lane and range
	classes  []failure.Class
	evidence map[int]string
}

// convert takes a document's range through everything that happens to it here, as the queue would: retries, pieces, lanes.
func (p *plant) convert(path string, n int) *outcome {
	p.t.Helper()
	m := event.Range{
		Job: job.Job{ID: "j-" + filepath.Base(path), Drop: filepath.Base(path), Source: document.Source{Key: filepath.Base(path)}}, Engine: engineSim, Lane: job.LaneBulk,
		Range: pages.Range{First: 1, Last: n}, Total: n, Mode: event.ModeDefault,
	}
	m.Options.Output = "markdown"
	o := &outcome{pages: map[int]string{}, tries: map[string]int{}, evidence: map[int]string{}}
	var group sync.WaitGroup
	group.Go(func() { p.follow(&group, path, m, o) })
	group.Wait()
	if len(o.pages) != n {
		p.t.Errorf("%s: %d of %d pages have an outcome: %v", filepath.Base(path), len(o.pages), n, o.pages)
	}
	return o
}

func (p *plant) follow(group *sync.WaitGroup, path string, m event.Range, o *outcome) {
	for attempt := 1; ; attempt++ {
		outDir, err := os.MkdirTemp(p.config.Scratch, "range-")
		if err != nil {
			p.t.Error(err)
			return
		}
		_, err = p.engines[engineSim].convert(p.t.Context(), m, path, outDir, nil, p.limits(m), p.pressure.of(m))
		_ = os.RemoveAll(outDir)
		p.pressure.count(m, failure.ClassOf(err, ""))
		o.mu.Lock()
		o.tries[m.Lane+" "+m.Range.String()+" "+m.Mode]++
		if err == nil {
			for page := m.Range.First; page <= m.Range.Last; page++ {
				o.pages[page] = event.PageOK
				if m.Mode == event.ModePlain {
					o.pages[page] = event.PageDegraded
				}
			}
			o.mu.Unlock()
			return
		}
		o.classes = append(o.classes, failure.ClassOf(err, "none"))
		o.mu.Unlock()
		outputs, err := p.afterFailure(m, attempt, err)
		if err == nil {
			for _, out := range outputs {
				piece := out.Body.(event.Range)
				group.Go(func() { p.follow(group, path, piece, o) })
			}
			return
		}
		if failure.Permanent(err) || attempt >= 7 {
			o.mu.Lock()
			for page := m.Range.First; page <= m.Range.Last; page++ {
				o.pages[page] = string(failure.ClassOf(err, "none"))
				o.evidence[page] = failure.DetailOf(err)
			}
			o.mu.Unlock()
			return
		}
	}
}

func (o *outcome) seen(c failure.Class) bool { return slices.Contains(o.classes, c) }
