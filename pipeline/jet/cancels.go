package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/job"
)

// errCancelled is why the work on a cancelled job ends.
var errCancelled = errors.New("the job was cancelled")

// cancelKeys are the keys of cancellations in the KV bucket pdf_ends: those of ends have two parts.
const cancelKeys = "*"

// cancels asks what is noted of a pass when a message of it comes, and ends the work in hand that a later cancellation is about. It holds only what is in hand: what is noted
// grows with the documents that failed.
type cancels struct {
	kv      jetstream.KeyValue
	watcher jetstream.KeyWatcher

	mu     sync.Mutex
	inHand map[*inHand]struct{}
}

// inHand is a message in work.
type inHand struct {
	work      job.Job
	end       context.CancelCauseFunc
	cancelled *Cancellation // guarded by cancels.mu
}

// followCancels returns when no later cancellation can be missed.
func (b *Broker) followCancels(ctx context.Context) (*cancels, error) {
	kv, err := b.bucket(ctx, KVEnds)
	if err != nil {
		return nil, err
	}
	c := &cancels{kv: kv, inHand: map[*inHand]struct{}{}}
	// Not in the try's own context: the watcher ends with that.
	return c, patiently(ctx, b.log, "cancellations", func(context.Context) error { return c.open(ctx) })
}

// open starts watching.
func (c *cancels) open(ctx context.Context) (err error) {
	if c.watcher, err = c.kv.Watch(ctx, cancelKeys, jetstream.UpdatesOnly(), jetstream.IgnoreDeletes()); err != nil {
		return fmt.Errorf("watch %s: %w", KVEnds, err)
	}
	return nil
}

// run takes in what comes, until ctx ends.
func (c *cancels) run(ctx context.Context, log *slog.Logger) {
	defer func() { _ = c.watcher.Stop() }() // the connection's end stops it too
	for {
		select {
		case <-ctx.Done():
			return
		case entry, open := <-c.watcher.Updates():
			if open {
				if entry != nil {
					c.take(entry)
				}
				continue
			}
		}
		for err := c.again(ctx); err != nil && ctx.Err() == nil; err = c.again(ctx) {
			log.Warn("lost sight of cancellations, looking again", "err", err)
			wait(ctx, time.Second)
		}
	}
}

// again opens anew, and asks about what is in hand: it may have been cancelled meanwhile.
func (c *cancels) again(ctx context.Context) error {
	if err := c.open(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	all := slices.Collect(maps.Keys(c.inHand))
	c.mu.Unlock()
	for _, h := range all {
		if err := c.ask(ctx, h.work); err != nil {
			_ = c.watcher.Stop() // the next try has its own
			return err
		}
	}
	return nil
}

// ask takes in the cancellation of a pass, if there is one.
func (c *cancels) ask(ctx context.Context, work job.Job) error {
	if work.ID == "" {
		return nil
	}
	entry, err := c.kv.Get(ctx, work.PassID())
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask whether job %s was cancelled: %w", work.ID, err)
	}
	c.take(entry)
	return nil
}

func (c *cancels) take(entry jetstream.KeyValueEntry) {
	var one Cancellation
	if json.Unmarshal(entry.Value(), &one) != nil || one.Job == "" {
		return // written by a newer version
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for h := range c.inHand {
		if h.work.PassID() == entry.Key() {
			h.cancelled = &one
			h.end(errCancelled)
		}
	}
}

// of returns the cancellation of what is in hand, or nil.
func (c *cancels) of(h *inHand) *Cancellation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return h.cancelled
}

// hasEnd asks whether a dead letter ended the pass.
func (c *cancels) hasEnd(ctx context.Context, work job.Job) (bool, error) {
	if work.ID == "" || work.Drop == "" {
		return false, nil
	}
	_, err := c.kv.Get(ctx, endKey(work))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask whether job %s has ended: %w", work.ID, err)
	}
	return true, nil
}

// watch has end called when the pass is cancelled, until release is called. What was cancelled before, ask tells.
func (c *cancels) watch(work job.Job, end context.CancelCauseFunc) (h *inHand, release func()) {
	h = &inHand{work: work, end: end}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inHand[h] = struct{}{}
	return h, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.inHand, h)
	}
}
