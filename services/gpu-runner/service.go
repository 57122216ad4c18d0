// Package gpurunner converts page ranges: it takes them from the queue, has a supervised worker process do each, and stores what came out. Workers are the
// business of package supervise, their Python environment of package pyenv.
package gpurunner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/services/gpu-runner/cgroup"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/schedule"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// Config of the gpu-runner.
type Config struct {
	Serve       []string      `name:"serve" env:"PDFMILL_SERVE" default:"text" help:"Engines to serve: text, ocr, marker; null only for benchmarks."`
	Workers     int           `name:"workers" env:"PDFMILL_WORKERS" default:"0" help:"Worker processes of each engine; 0: one a core."`
	TimeoutBase time.Duration `name:"range-timeout" env:"PDFMILL_RANGE_TIMEOUT" default:"0" help:"Work time a range may take, whatever its length …; 0: by the engine: text and ocr 30s, marker 10m (2m where it reads nothing)."`
	TimeoutPage time.Duration `name:"page-timeout" env:"PDFMILL_PAGE_TIMEOUT" default:"0" help:"… and for each of its pages on top; 0: text 5s, ocr and marker 1m (10s where it reads nothing)."`
	Silence     time.Duration `name:"silence-timeout" env:"PDFMILL_SILENCE_TIMEOUT" default:"0" help:"Time a worker may go without a sign of progress; 0: text 30s, ocr 1m, marker 11m (2m where it reads nothing)."`
	Cgroup      string        `name:"cgroup" env:"PDFMILL_CGROUP" default:"auto" help:"Folder of the kernel's control groups below which each worker gets one of its own, with limits that hold for what it starts, too; auto: the service's own where systemd has delegated it (Delegate=); none."`

	Labels map[string]string `name:"label" env:"PDFMILL_LABELS" placeholder:"NAME=VALUE" help:"What this machine is, for documents that need it: region=eu;…. The memory of its largest GPU (memory, in GiB) and the version of an engine (version) are found, unless they are said."`
	Routes []string          `name:"routes" env:"PDFMILL_ENGINES" placeholder:"ENGINE@NEEDS" help:"What documents may ask for, as the validator is told: marker,marker@region=eu. This machine takes what it has the labels for."`
	// WorkerMemory overrides workerMemory by engine.
	WorkerMemory map[string]int64 `name:"worker-memory" env:"PDFMILL_WORKER_MEMORY" mapsep:"," placeholder:"ENGINE=BYTES" help:"Bytes of host memory that a worker of an engine may have; 0: no limit; default: text=2147483648,ocr=4294967296,marker=17179869184. On a GPU it takes a control group."`

	Scratch     string        `name:"scratch" env:"PDFMILL_SCRATCH" type:"path" help:"Folder for documents and results in work; emptied at start; default: a folder of its own in the system's temporary one."`
	Confine     string        `name:"confine" env:"PDFMILL_CONFINE" enum:"auto,all,none" default:"auto" help:"Who gets no network but the servers of its engine, no files but its own and no way to more privileges: auto: workers and servers that fetch nothing (on a GPU, where the driver needs no helper with the set-user-ID bit); all; or none."`
	WorkerUser  string        `name:"worker-user" env:"PDFMILL_WORKER_USER" default:"auto" placeholder:"USER" help:"User that workers and servers run as when this process is root: a name, UID:GID, none (root) or auto (nobody, where that user can read interpreter, cache and scratch)."`
	KeepSources int64         `name:"keep-sources" env:"PDFMILL_KEEP_SOURCES" default:"1073741824" help:"Bytes of documents kept in scratch for ranges to come."`
	GPU         string        `name:"gpu" env:"PDFMILL_GPU" enum:"auto,none" default:"auto" help:"auto: engines that use GPUs get those of this machine, if there are any; none: they run on the CPU."`
	GPUSim      string        `name:"gpusim" env:"PDFMILL_GPUSIM" hidden:"" help:"For tests, of the engine sim: socket of a gpusim broker, whose simulated GPUs are used instead of real ones; or torch: real ones, with memory that is real."`
	Runner      string        `name:"runner" env:"PDFMILL_RUNNER" hidden:"" help:"For tests: an interpreter that has the runner and its packages; empty: an environment is built."`
	AllocConf   string        `name:"alloc-conf" env:"PDFMILL_ALLOC_CONF" default:"expandable_segments:True" help:"Setting of PyTorch's allocator (PYTORCH_CUDA_ALLOC_CONF) for workers; empty: PyTorch's default."`
	IdleUnload  time.Duration `name:"idle-unload" env:"PDFMILL_IDLE_UNLOAD" default:"10m" help:"A worker on a GPU leaves it after so long without work, and comes back when there is some."`
	ProbeEvery  time.Duration `name:"probe-every" env:"PDFMILL_PROBE_EVERY" default:"1m" help:"How often an idle worker must prove that it can use its device."`
	RecycleAge  time.Duration `name:"recycle-age" env:"PDFMILL_RECYCLE_AGE" default:"24h" help:"A worker is replaced when it is so old; and after 100 conversions or so."`
	Python      string        `name:"python" env:"PDFMILL_PYTHON" help:"Python interpreter to build the environment with; default: python3 from PATH."`

	Marker MarkerConfig `embed:"" prefix:"marker-"`

	// Install hears of each step while the Python environment is created; may be nil.
	Install func(step, detail string) `kong:"-"`

	underling    *underling // of workers and servers
	interpreters *interpreters
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var faults []error
	if len(c.Serve) == 0 || slices.Contains(c.Serve, job.EngineAuto) {
		faults = append(faults, fmt.Errorf("serve is %v: name engines, like text", c.Serve))
	}
	if _, err := job.ParseRoutes(c.Routes); err != nil {
		faults = append(faults, fmt.Errorf("routes: %w", err))
	}
	if slices.ContainsFunc(c.Serve, func(engine string) bool { return strings.Contains(engine, "@") }) {
		faults = append(faults, fmt.Errorf("serve is %v: name engines; what is needed beside them goes into routes", c.Serve))
	}
	if c.Workers < 0 {
		faults = append(faults, fmt.Errorf("workers is %d: it can't be negative", c.Workers))
	}
	for engine, bytes := range c.WorkerMemory {
		if _, known := workerMemory[engine]; !known || bytes < 0 {
			faults = append(faults, fmt.Errorf("worker-memory is %s=%d: name an engine and bytes, like text=2147483648", engine, bytes))
		}
	}
	if _, err := c.allocator(); err != nil {
		faults = append(faults, err)
	}
	for name, d := range map[string]time.Duration{
		"idle-unload": c.IdleUnload, "probe-every": c.ProbeEvery, "recycle-age": c.RecycleAge,
	} {
		if d <= 0 {
			faults = append(faults, fmt.Errorf("%s is %s: it must be positive", name, d))
		}
	}
	for name, d := range map[string]time.Duration{"range-timeout": c.TimeoutBase, "page-timeout": c.TimeoutPage, "silence-timeout": c.Silence} {
		if d < 0 {
			faults = append(faults, fmt.Errorf("%s is %s: it can't be negative", name, d))
		}
	}
	return errors.Join(append(faults, c.Marker.Validate())...)
}

// Service is the gpu-runner.
type Service struct {
	config    Config
	platform  lifecycle.Platform
	engines   map[string]*engine
	scheduler *schedule.Scheduler
	groups    *cgroup.Tree  // nil: workers get no control groups of their own
	gpus      devices.Meter // nil: none
	pressure  pressure
	sources   *sources
	log       *slog.Logger
}

// New makes a gpu-runner; it starts nothing yet, but looks which devices there are.
func New(c Config, p lifecycle.Platform) (*Service, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Scratch == "" {
		c.Scratch = filepath.Join(os.TempDir(), fmt.Sprintf("pdfmill-scratch-%d", os.Getpid()))
	}
	c = c.resolved(p.Cache)
	var err error
	if c.underling, err = newUnderling(c, p.Cache, p.Log); err != nil {
		return nil, err
	}
	s := &Service{config: c, platform: p, engines: map[string]*engine{}, log: p.Log.With("service", stage.GPURunner)}
	s.sources = newSources(p.Store, p.Bucket, c.Scratch, c.KeepSources, c.underling.lend)
	readings, err := s.openGPUs()
	if err != nil {
		return nil, err
	}
	if err := s.openGroups(); err != nil {
		return nil, err
	}
	s.scheduler = schedule.New(schedule.Config{GPU: s.gpus, IdleUnload: c.IdleUnload, Store: p.Broker, Metrics: p.Metrics, Log: s.log})
	for _, name := range c.Serve {
		e, err := newEngine(name, c, p.Cache, s.scheduler, readings, s.groups, s.log)
		if err != nil {
			return nil, err
		}
		e.servers.register(p.Metrics)
		s.engines[name] = e
	}
	return s, nil
}

// openGPUs opens the meter that the engines need; without a driver one line says so, and they run on the CPU.
func (s *Service) openGPUs() ([]devices.Reading, error) {
	if s.config.GPU == "none" || !slices.ContainsFunc(s.config.Serve, usesGPU) {
		return nil, nil
	}
	ctx := context.Background()
	if s.config.GPUSim != "" && s.config.GPUSim != gpuTorch {
		sim, err := devices.OpenSim(ctx, s.config.GPUSim)
		if err != nil {
			return nil, err
		}
		s.gpus = sim
	} else {
		nvml, err := devices.OpenNVML()
		if errors.Is(err, devices.ErrNoDriver) {
			s.log.Info("engines run on the CPU", "reason", err)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		s.gpus = nvml
		if err := devices.MakeReady(ctx); err != nil {
			s.log.Warn("workers on a GPU keep the network and all files", "reason", err)
		}
	}
	readings, err := s.gpus.Read(ctx)
	if err != nil {
		return nil, errors.Join(err, s.gpus.Close())
	}
	return readings, nil
}

// openGroups finds where workers get control groups of their own, and removes those that a former run has left there; without such a place one line says so, and
// workers have the limits of processes.
func (s *Service) openGroups() error {
	if s.config.Cgroup == "none" {
		return nil
	}
	groups, err := cgroup.Open(context.Background(), s.config.Cgroup)
	switch {
	case err != nil && s.config.Cgroup != cgroup.Auto:
		return err
	case errors.Is(err, cgroup.ErrNotDelegated):
		s.log.Info("workers get no control groups of their own, only the limits of processes", "reason", err)
		return nil
	case err != nil:
		s.log.Warn("workers get no control groups of their own, only the limits of processes", "reason", err)
		return nil
	}
	s.groups = groups
	if n, err := groups.Sweep(); err != nil {
		return err
	} else if n > 0 {
		s.log.Warn("removed control groups of a former run, with what still ran in them", "groups", n)
	}
	return nil
}

// Name implements lifecycle.Service.
func (s *Service) Name() string { return stage.GPURunner }

// Ready implements lifecycle.Service: some worker of every engine can take a range. Engines that were found unable to run don't count as long as another
// one runs: Detail tells of them.
func (s *Service) Ready() error {
	faults, unable := []error{s.platform.Broker.Healthy()}, []error{}
	for _, e := range s.engines {
		switch err := e.ready(); {
		case err == nil:
			e.unable.Store(false)
		case e.unable.Load():
			unable = append(unable, err)
		default:
			faults = append(faults, err)
		}
	}
	if len(unable) == len(s.engines) {
		faults = append(faults, unable...)
	}
	return errors.Join(faults...)
}

// Detail is what /readyz tells of the workers and of the devices they share.
func (s *Service) Detail() any {
	d := detail{Status: "ok", Engines: []supervise.Snapshot{}, Servers: []supervise.ServerSnapshot{}, Devices: s.scheduler.Snapshot()}
	ready := s.Ready()
	for _, e := range s.engines {
		if e.unable.Load() {
			d.Status = "degraded"
		}
		n := e.pool.Snapshot()
		for _, w := range n.Workers {
			d.ModelLoaded = d.ModelLoaded || w.ModelLoaded
			d.GPUAvailable = d.GPUAvailable || w.GPUAvailable
		}
		d.Engines = append(d.Engines, n)
		d.Servers = append(d.Servers, e.servers.snapshots()...)
	}
	if ready != nil {
		d.Status = "unavailable"
	}
	slices.SortFunc(d.Engines, func(a, b supervise.Snapshot) int { return strings.Compare(a.Engine, b.Engine) })
	return d
}

// detail says overall whether the service is ready ("degraded": with fewer engines than it is meant to serve), and what each worker says of itself: that some worker's models are loaded, and that some worker has lately used its GPU with success.
type detail struct {
	Status       string                     `json:"status"`
	ModelLoaded  bool                       `json:"model_loaded"`
	GPUAvailable bool                       `json:"gpu_available"`
	Engines      []supervise.Snapshot       `json:"engines"`
	Servers      []supervise.ServerSnapshot `json:"servers"` // that workers of marker 2.x ask
	Devices      []schedule.DeviceSnapshot  `json:"devices"`
}

// Run implements lifecycle.Service: workers start at once, messages are fetched only when one is ready, and workers end after the last message.
func (s *Service) Run(ctx context.Context) error {
	// What an earlier process left in scratch belongs to nobody: results count only when they are in the store.
	if err := errors.Join(os.RemoveAll(s.config.Scratch), os.MkdirAll(s.config.Scratch, 0o700), s.config.underling.settle(s.config.Scratch)); err != nil {
		return fmt.Errorf("scratch folder: %w", err)
	}
	defer os.RemoveAll(s.config.Scratch)
	if s.gpus != nil {
		defer s.gpus.Close() //nolint:errcheck // the process ends
	}
	// The books are kept until the last worker is gone.
	var scheduler sync.WaitGroup
	books, end := context.WithCancel(context.WithoutCancel(ctx))
	defer func() { end(); scheduler.Wait() }()
	s.scheduler.Measure(ctx)
	scheduler.Go(func() { s.scheduler.Run(books) })

	loops := make([]lifecycle.Service, 0, len(s.engines)+2)
	for _, e := range s.engines {
		loops = append(loops, &engineService{engine: e, service: s})
	}
	if s.gpus != nil {
		loops = append(loops, &lender{s})
	}
	if slices.ContainsFunc(slices.Collect(maps.Values(s.engines)), func(e *engine) bool { return len(e.servers.all()) > 0 }) {
		loops = append(loops, &teller{s})
	}
	return lifecycle.Run(ctx, s.platform.Log, loops...)
}

// engineService runs one engine's workers and the loops of its lanes.
type engineService struct {
	engine  *engine
	service *Service
}

func (e *engineService) Name() string { return e.engine.name }

func (e *engineService) Ready() error { return e.engine.ready() }

func (e *engineService) Run(ctx context.Context) error {
	s := e.service
	e.engine.servers.start()
	defer e.engine.stop(s.log)
	if err := e.engine.pool.Start(ctx); err != nil {
		return err
	}
	if err := e.engine.await(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		if len(s.engines) == 1 {
			return err
		}
		// The other engines go on. What is meant for this one hears why not, until its workers, which are started again and again, come up.
		e.engine.unable.Store(true)
		s.log.Error("an engine can't run; the others do", "engine", e.engine.name, "err", err)
	}
	var lanes []lifecycle.Service
	for _, route := range e.engine.routes {
		for _, lane := range jet.Lanes() {
			lanes = append(lanes, &laneService{route: route, lane: lane, engineService: e})
		}
	}
	return lifecycle.Run(ctx, s.platform.Log, lanes...)
}

// laneService consumes one lane. Each lane holds as many ranges as there are workers and one more, whose source is fetched meanwhile; who goes first
// is for the pool to say.
type laneService struct {
	*engineService
	route, lane string
}

// grace is what a range in hand gets when the service stops.
const grace = 30 * time.Second

// Drain is how long the service goes on at most when it is to stop: ranges in hand end, then workers, then the servers that they asked.
func (s *Service) Drain() time.Duration { return grace + supervise.WorkerGrace + supervise.ServerGrace }

func (l *laneService) Name() string { return l.route + " " + l.lane }

func (l *laneService) Run(ctx context.Context) error {
	s := l.service
	return jet.Run(ctx, s.platform.Broker, jet.Loop{
		Stage: stage.GPURunner, Subject: event.SubjectValidated(l.route, l.lane), Concurrency: l.engine.places + 1, Grace: grace,
		Observer: s.platform.Observer, Version: s.platform.Version, Log: s.log,
	}, s.handle)
}
