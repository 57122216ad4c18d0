package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// Pool keeps workers of one engine and gives them jobs. Use NewPool.
type Pool struct {
	cfg  PoolConfig
	wg   sync.WaitGroup  // every goroutine of the pool
	live context.Context // ends when the pool begins to stop: no more starts
	end  context.CancelCauseFunc
	hard context.Context // ends when the grace is over: no more work
	kill context.CancelCauseFunc

	mu        sync.Mutex
	started   bool
	seq       uint64
	queue     []*ticket // in order of arrival
	workers   []*worker
	processes map[*Process]*tenancy
	changed   chan struct{} // closed and replaced at every change of a state
}

// NewPool returns a pool whose workers are all wanted but not yet started.
func NewPool(cfg PoolConfig) *Pool {
	cfg = cfg.withDefaults()
	p := &Pool{cfg: cfg, processes: map[*Process]*tenancy{}, changed: make(chan struct{})}
	p.live, p.end = context.WithCancelCause(context.Background())
	p.hard, p.kill = context.WithCancelCause(context.Background())
	for i := range cfg.Workers + cfg.Isolated {
		p.workers = append(p.workers, p.newWorker(i))
	}
	return p
}

// Start ends stale workers of earlier runs and begins to start the pool's own, all at once. It doesn't wait for them: see WaitReady.
func (p *Pool) Start(ctx context.Context) error {
	if p.cfg.Registry != nil {
		if _, err := p.cfg.Registry.Sweep(ctx); err != nil {
			return failure.New(failure.Unhealthy, "end stale workers", p.cfg.Engine, err).
				WithHint("end them by hand, or remove their records from the state directory")
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started || p.live.Err() != nil {
		return errors.New("a worker pool starts once")
	}
	p.started = true
	for _, w := range p.workers {
		p.wg.Go(func() { p.run(w) })
	}
	return nil
}

// WaitReady waits until a worker can take jobs. The error is that of Convert when none ever will, or the cause of ctx's end.
func (p *Pool) WaitReady(ctx context.Context) error {
	for {
		p.mu.Lock()
		changed, lost := p.changed, p.hopeless(false)
		ready := slices.ContainsFunc(p.workers, func(w *worker) bool { return w.serving() })
		p.mu.Unlock()
		switch {
		case ready:
			return nil
		case lost != nil:
			return lost
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for a worker of engine %s: %w", p.cfg.Engine, endOf(ctx))
		case <-p.live.Done():
			return ErrStopped
		}
	}
}

// Stop takes no more jobs, gives back those that wait, lets those in hand finish within the grace or until ctx ends, then kills. It returns when no
// process and no goroutine of the pool is left; the error says that something had to be killed.
func (p *Pool) Stop(ctx context.Context) error {
	p.mu.Lock()
	p.end(ErrStopped)
	p.giveUp(func(*ticket) bool { return true }, func(t *ticket) error { return fmt.Errorf("convert %s: %w", t.Job.Request.subject(), ErrStopped) })
	for _, w := range p.workers {
		w.nudge()
	}
	p.mu.Unlock()

	gone := make(chan struct{})
	go func() {
		p.wg.Wait()
		close(gone)
	}()
	grace := time.NewTimer(p.cfg.Grace)
	defer grace.Stop()
	select {
	case <-gone:
		p.kill(ErrStopped)
		return nil
	case <-grace.C:
	case <-ctx.Done():
	}
	p.kill(ErrStopped)
	p.mu.Lock()
	killed := len(p.processes)
	for proc := range p.processes {
		proc.Kill(ErrStopped)
	}
	p.mu.Unlock()
	<-gone
	return fmt.Errorf("stop engine %s: %d workers had to be killed", p.cfg.Engine, killed)
}
