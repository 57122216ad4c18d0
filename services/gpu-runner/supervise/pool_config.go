package supervise

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/pdfmill/pdfmill/services/gpu-runner/cgroup"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

// ErrStopped is the cause of everything that ends because the pool stops. It says nothing against the job, and is a context.Canceled.
var ErrStopped = fmt.Errorf("the worker pool is stopping: %w", context.Canceled)

// PoolConfig says which workers to keep. Zero fields get the defaults.
type PoolConfig struct {
	Engine  string // the engine that every worker must be
	Workers int    // places; default 1
	// Isolated is the number of further places for suspect jobs: each of their processes does one job and ends. Default 0.
	Isolated int

	// Launch says how to start a worker; it may take its time (the first one may build an environment) and must end with ctx.
	Launch func(ctx context.Context, l Launch) (Command, error)
	// Admitter decides who runs next; default Slots.
	Admitter Admitter
	Restart  RestartPolicy

	RecycleAfter  int    // conversions after which a worker is replaced; default 100
	RecycleJitter int    // each worker's own number differs from that by at most this many, so that they don't restart together; default 20
	Seed          uint64 // of the jitter; the same seed gives the same numbers
	// RecycleAge and RecycleGrowth (bytes of host memory, since the process was new) have the same effect; default 24 h and 2 GiB.
	RecycleAge    time.Duration
	RecycleGrowth int64
	// Rooms books memory for processes; nil: there is room for everybody.
	Rooms Rooms

	HelloTimeout, LoadTimeout time.Duration // as in Config
	ProbeTimeout              time.Duration // default 30 s
	ProbeEvery                time.Duration // an idle worker is asked this often to use its device; default 1 min
	Grace                     time.Duration // for a worker's exit and for jobs in hand at Stop; default WorkerGrace

	Log      *slog.Logger
	OOM      *OOMCounter
	Registry *Registry    // stale workers found in it are ended at Start; nil: none are
	Groups   *cgroup.Tree // each process gets a control group of its own; nil: none does
}

// Launch is one start of a worker.
type Launch struct {
	Worker   int
	Failures int   // starts in a row that have failed
	Last     error // how the latest of them failed; wraps ErrNoHello when the environment itself may be broken
	Isolated bool  // the process is for one suspect job: evidence counts more than speed
	Device   string
}

// Job is a conversion to be done by any worker of a pool.
type Job struct {
	Request  Request
	Priority Priority
	Progress func(protocol.Progress) // may be nil; called on a worker's goroutine, must be quick
	Need     Need
	// Begin is called when a worker was found, before it gets the request, and may wait: for what the workers depend on. Its error is the job's. Nil: nothing
	// to wait for.
	Begin func(ctx context.Context, worker int) error
}

// Need is what an Admitter of memory looks at.
type Need struct {
	Pages      int
	Megapixels float64 // of all pages at 72 dpi; 0: not known
	Pressure   int     // how often the job has run out of memory before
}

// Outcome is a conversion that came to a result.
type Outcome struct {
	Result         protocol.Result
	Worker         string
	Info           Info          // of the process that did it
	Queued, Worked time.Duration // before and after it was given to a worker
	Scale          float64       // of the engine's batches; 0 means 1
}

// WorkerGrace is what a worker gets to exit.
const WorkerGrace = 30 * time.Second

func (c PoolConfig) withDefaults() PoolConfig {
	orDefault(&c.Workers, 1)
	orDefault(&c.RecycleAfter, 100)
	orDefault(&c.RecycleJitter, 20)
	orDefault(&c.RecycleAge, 24*time.Hour)
	orDefault(&c.RecycleGrowth, 2<<30)
	orDefault(&c.ProbeTimeout, 30*time.Second)
	orDefault(&c.ProbeEvery, time.Minute)
	orDefault(&c.Grace, WorkerGrace)
	c.RecycleJitter = min(c.RecycleJitter, c.RecycleAfter-1)
	if c.Admitter == nil {
		c.Admitter = Slots{}
	}
	if c.Rooms == nil {
		c.Rooms = anywhere{}
	}
	return c
}

func orDefault[N int | int64 | time.Duration](n *N, fallback N) {
	if *n <= 0 {
		*n = fallback
	}
}

// lifetimes returns the generator of one worker's numbers of conversions: each process that fills its place gets the next.
func (c PoolConfig) lifetimes(worker int) func() int {
	random := rand.New(rand.NewPCG(c.Seed, uint64(worker)))
	return func() int { return c.RecycleAfter - c.RecycleJitter + random.IntN(2*c.RecycleJitter+1) }
}
