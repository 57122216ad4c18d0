// Package gpurunner converts page ranges: it takes them from the queue, has a supervised worker process do each, and stores what came out. Workers are the
// business of package supervise, their Python environment of package pyenv.
package gpurunner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// Config of the gpu-runner.
type Config struct {
	Serve       []string      `name:"serve" env:"PDFMILL_SERVE" default:"text" help:"Engines to serve: text, marker; null only for benchmarks."`
	Workers     int           `name:"workers" env:"PDFMILL_WORKERS" default:"0" help:"Worker processes of each engine; 0: one a core."`
	TimeoutBase time.Duration `name:"range-timeout" env:"PDFMILL_RANGE_TIMEOUT" default:"30s" help:"Work time a range may take, whatever its length …"`
	TimeoutPage time.Duration `name:"page-timeout" env:"PDFMILL_PAGE_TIMEOUT" default:"5s" help:"… and for each of its pages on top."`
	Silence     time.Duration `name:"silence-timeout" env:"PDFMILL_SILENCE_TIMEOUT" default:"30s" help:"Time a worker may go without a sign of progress."`
	MemoryLimit int64         `name:"worker-memory" env:"PDFMILL_WORKER_MEMORY" default:"2147483648" help:"Bytes of memory a worker of a CPU engine may allocate; 0: no limit."`
	Scratch     string        `name:"scratch" env:"PDFMILL_SCRATCH" type:"path" help:"Folder for documents and results in work; emptied at start; default: a folder of its own in the system's temporary one."`
	KeepSources int64         `name:"keep-sources" env:"PDFMILL_KEEP_SOURCES" default:"1073741824" help:"Bytes of documents kept in scratch for ranges to come."`
	Python      string        `name:"python" env:"PDFMILL_PYTHON" help:"Python interpreter to build the environment with; default: python3 from PATH."`

	Marker MarkerConfig `embed:"" prefix:"marker-"`

	// Install hears of each step while the Python environment is created; may be nil.
	Install func(step, detail string) `kong:"-"`
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var faults []error
	if len(c.Serve) == 0 || slices.Contains(c.Serve, job.EngineAuto) {
		faults = append(faults, fmt.Errorf("serve is %v: name engines, like text", c.Serve))
	}
	if c.Workers < 0 {
		faults = append(faults, fmt.Errorf("workers is %d: it can't be negative", c.Workers))
	}
	for name, d := range map[string]time.Duration{"range-timeout": c.TimeoutBase, "silence-timeout": c.Silence} {
		if d <= 0 {
			faults = append(faults, fmt.Errorf("%s is %s: it must be positive", name, d))
		}
	}
	return errors.Join(append(faults, c.Marker.Validate())...)
}

// Service is the gpu-runner.
type Service struct {
	config   Config
	platform lifecycle.Platform
	engines  map[string]*engine
	sources  *sources
	log      *slog.Logger
}

// New makes a gpu-runner; it starts nothing yet.
func New(c Config, p lifecycle.Platform) (*Service, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Workers == 0 {
		c.Workers = runtime.NumCPU()
	}
	if c.Scratch == "" {
		c.Scratch = filepath.Join(os.TempDir(), fmt.Sprintf("pdfmill-scratch-%d", os.Getpid()))
	}
	s := &Service{config: c, platform: p, engines: map[string]*engine{}, log: p.Log.With("service", stage.GPURunner)}
	s.sources = newSources(p.Store, p.Bucket, c.Scratch, c.KeepSources)
	for _, name := range c.Serve {
		e, err := newEngine(name, c, p.Cache, s.log)
		if err != nil {
			return nil, err
		}
		s.engines[name] = e
	}
	return s, nil
}

// Name implements lifecycle.Service.
func (s *Service) Name() string { return stage.GPURunner }

// Ready implements lifecycle.Service: some worker of every engine can take a range.
func (s *Service) Ready() error {
	faults := []error{s.platform.Broker.Healthy()}
	for _, e := range s.engines {
		faults = append(faults, e.ready())
	}
	return errors.Join(faults...)
}

// Detail is what /readyz tells of the workers.
func (s *Service) Detail() any {
	var all []supervise.Snapshot
	for _, e := range s.engines {
		all = append(all, e.pool.Snapshot())
	}
	return all
}

// Run implements lifecycle.Service: workers start at once, messages are fetched only when one is ready, and workers end after the last message.
func (s *Service) Run(ctx context.Context) error {
	// What an earlier process left in scratch belongs to nobody: results count only when they are in the store.
	if err := errors.Join(os.RemoveAll(s.config.Scratch), os.MkdirAll(s.config.Scratch, 0o700)); err != nil {
		return fmt.Errorf("scratch folder: %w", err)
	}
	defer os.RemoveAll(s.config.Scratch)
	var loops []lifecycle.Service
	for _, e := range s.engines {
		loops = append(loops, &engineService{engine: e, service: s})
	}
	return lifecycle.Run(ctx, s.log, loops...)
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
	if err := e.engine.pool.Start(ctx); err != nil {
		return err
	}
	defer e.engine.stop(s.log)
	if err := e.engine.pool.WaitReady(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var lanes []lifecycle.Service
	for _, lane := range jet.Lanes() {
		lanes = append(lanes, &laneService{lane: lane, engineService: e})
	}
	return lifecycle.Run(ctx, s.log, lanes...)
}

// laneService consumes one lane. Each lane holds as many ranges as there are workers and one more, whose source is fetched meanwhile; who goes first
// is for the pool to say.
type laneService struct {
	*engineService
	lane string
}

func (l *laneService) Name() string { return l.engine.name + " " + l.lane }

func (l *laneService) Run(ctx context.Context) error {
	s := l.service
	return jet.Run(ctx, s.platform.Broker, jet.Loop{
		Stage: stage.GPURunner, Subject: event.SubjectValidated(l.engine.name, l.lane), Concurrency: s.config.Workers + 1,
		Observer: s.platform.Observer, Version: s.platform.Version, Log: s.log,
	}, s.handle)
}
