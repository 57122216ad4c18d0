// Package schedule decides what runs where: it measures devices, keeps their ledgers true, predicts what jobs need, and answers the worker pools when
// they ask who goes next and where a process may be started. The decisions are those of package ledger; here are the clock, the measurements and the
// lock.
//
// Locks are taken in one order: a pool's, then the scheduler's. The scheduler never calls a pool while it holds its own.
package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/ledger"
	"github.com/pdfmill/pdfmill/services/gpu-runner/predict"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// Store keeps what was learned, over restarts.
type Store interface {
	// Peaks returns everything that was saved.
	Peaks(ctx context.Context) ([][]byte, error)
	// SavePeaks saves under a name, in place of what was there.
	SavePeaks(ctx context.Context, name string, data []byte) error
}

// Config of a Scheduler. Zero fields get the defaults.
type Config struct {
	GPU  devices.Meter // nil: this machine has none
	Host devices.Meter
	// Reserve is what is never given to anybody, of a device with that much memory; default 4 %, at least 512 MiB on a GPU; 10 % of the host's memory.
	Reserve func(r devices.Reading) int64
	// Context is what a GPU process holds besides what its allocator says, where the driver hides what processes hold; default 640 MiB (610 on an H200). It is
	// measured when the first worker is alone on its device.
	Context int64

	Every      time.Duration // between measurements; default 1 s
	Settle     time.Duration // what a worker holds above what it held before counts as its own when it has for so long, without a job; default 2 s
	IdleUnload time.Duration // a GPU worker without a job for so long leaves the device; default 10 min
	Growth     int64         // a GPU worker whose resident memory has grown by so much since it was loaded is replaced; default 1 GiB
	Health     supervise.RestartPolicy
	Ledger     ledger.Policy

	Store   Store                 // nil: what is learned is lost with the process
	Metrics prometheus.Registerer // nil: none
	Log     *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Host == nil {
		c.Host = devices.OpenHost()
	}
	if c.Reserve == nil {
		c.Reserve = reserve
	}
	if c.Context == 0 {
		c.Context = 640 << 20
	}
	if c.Every == 0 {
		c.Every = time.Second
	}
	if c.Settle == 0 {
		c.Settle = 2 * time.Second
	}
	if c.IdleUnload == 0 {
		c.IdleUnload = 10 * time.Minute
	}
	if c.Growth == 0 {
		c.Growth = 1 << 30
	}
	if c.Health.QuarantineAt == 0 {
		c.Health = supervise.RestartPolicy{Base: time.Second, QuarantineAt: 5, Window: 10 * time.Minute, QuarantineFor: 5 * time.Minute}
	}
	return c
}

func reserve(r devices.Reading) int64 {
	if r.Kind == devices.KindHost {
		return r.Total / 10
	}
	return max(512<<20, r.Total/25)
}

// Engine is a pool's profile.
type Engine struct {
	Name string
	GPU  bool // its workers live on GPUs; else in the host's memory
	// Eager starts every worker as soon as there is room, and keeps it: for engines that load in no time.
	Eager bool
	// Lazy starts none before there is work: for engines that few documents need.
	Lazy  bool
	Prior predict.Prior
	// Host is what a worker of a GPU engine is expected to hold of the host's memory; bytes.
	Host int64
}

// Scheduler is the one place where memory is given away. Use New.
type Scheduler struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics

	mu        sync.Mutex
	gpu, host *ledger.Ledger
	predictor *predict.Predictor
	engines   map[string]*engine
	rooms     map[string]*room
	devices   map[string]*device
	asOf      time.Time // when the reading in hand was begun
	names     int       // of rooms given so far
	dirty     map[predict.Key]bool
	changed   chan struct{} // closed and replaced whenever room may have been made
	hurry     chan struct{} // holds one: measure now
	said      map[string]bool
	loans     map[string]time.Time // device → when it comes back
}

// New returns a scheduler that has not measured anything yet: see Run.
func New(cfg Config) *Scheduler {
	cfg = cfg.withDefaults()
	s := &Scheduler{
		cfg: cfg, log: cfg.Log, gpu: ledger.New(cfg.Ledger), host: ledger.New(cfg.Ledger), engines: map[string]*engine{}, rooms: map[string]*room{},
		devices: map[string]*device{}, dirty: map[predict.Key]bool{}, changed: make(chan struct{}), hurry: make(chan struct{}, 1),
		said: map[string]bool{}, loans: map[string]time.Time{},
	}
	s.predictor = predict.New(s.prior)
	s.metrics = newMetrics(cfg.Metrics)
	return s
}

func (s *Scheduler) prior(engine string) predict.Prior {
	if e := s.engines[engine]; e != nil {
		return e.Prior
	}
	return predict.Prior{}
}

// engine is a pool as the scheduler knows it: its Admitter and its Rooms.
type engine struct {
	Engine
	s       *Scheduler
	pool    *supervise.Pool
	version string
	loaded  bool  // some worker has been loaded
	held    int64 // what the latest worker was measured to hold; 0: nothing is known but the prior
	served  map[uint64]job
}

// job is a waiting or running job's memory.
type job struct {
	key      predict.Key
	size     predict.Size
	reserved int64 // for it when it was granted
}

// Add makes an engine known, and returns what its pool is to be configured with; Attach then names the pool.
func (s *Scheduler) Add(e Engine) (supervise.Admitter, supervise.Rooms) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := &engine{Engine: e, s: s, served: map[uint64]job{}}
	s.engines[e.Name] = one
	return one, one
}

// Attach names the pool of an engine.
func (s *Scheduler) Attach(name string, pool *supervise.Pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engines[name].pool = pool
}

func (e *engine) book() *ledger.Ledger {
	if e.GPU && len(e.s.gpu.Books()) > 0 {
		return e.s.gpu
	}
	return e.s.host
}

// onGPU reports whether the engine's workers are on GPUs: it wants them there, and there are some.
func (e *engine) onGPU() bool { return e.book() == e.s.gpu }

func (e *engine) suspects() string { return e.Name + " suspect" }

func (e *engine) resident() int64 {
	if e.held > 0 {
		return e.held
	}
	return e.Prior.Resident
}

// notify tells everybody who waits that something has changed. The caller has the lock.
func (s *Scheduler) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// soon has the devices measured without waiting for the next time.
func (s *Scheduler) soon() {
	select {
	case s.hurry <- struct{}{}:
	default:
	}
}

// once logs a line the first time it is said. The caller has the lock.
func (s *Scheduler) once(line string, args ...any) {
	if !s.said[line] {
		s.said[line] = true
		s.log.Warn(line, args...)
	}
}

func holderName(place string, n int) string { return fmt.Sprintf("%s#%d", place, n) }
