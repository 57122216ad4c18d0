package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/job"
)

// errCancelled is why the work on a cancelled job ends.
var errCancelled = errors.New("the job was cancelled")

// cancels knows every cancellation, and ends the work in hand that a new one is about; it also knows the passes that a dead letter ended.
type cancels struct {
	kv      jetstream.KeyValue
	watcher jetstream.KeyWatcher

	mu     sync.Mutex
	all    map[string]Cancellation // by pass, as inHand is
	inHand map[string]map[*inHand]struct{}
	ends   map[string]struct{} // passes that a dead letter ended
}

type inHand struct{ end context.CancelCauseFunc }

// followCancels returns when every cancellation that there is is known.
func (b *Broker) followCancels(ctx context.Context) (*cancels, error) {
	kv, err := b.js.KeyValue(ctx, KVEnds)
	if err != nil {
		return nil, missing("KV bucket "+KVEnds, err)
	}
	c := &cancels{kv: kv, all: map[string]Cancellation{}, inHand: map[string]map[*inHand]struct{}{}, ends: map[string]struct{}{}}
	return c, c.open(ctx)
}

// open starts watching and takes in what is there.
func (c *cancels) open(ctx context.Context) error {
	watcher, err := c.kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("watch %s: %w", KVEnds, err)
	}
	c.watcher = watcher
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, open := <-c.watcher.Updates():
			if !open {
				return fmt.Errorf("watch %s: the server ended it", KVEnds)
			}
			if entry == nil {
				return nil
			}
			c.take(entry)
		}
	}
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
		for err := c.open(ctx); err != nil && ctx.Err() == nil; err = c.open(ctx) {
			log.Warn("lost sight of cancellations, looking again", "err", err)
			wait(ctx, time.Second)
		}
	}
}

func (c *cancels) take(entry jetstream.KeyValueEntry) {
	if pass, is := strings.CutPrefix(entry.Key(), endPrefix); is {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ends[pass] = struct{}{}
		return
	}
	var one Cancellation
	if json.Unmarshal(entry.Value(), &one) != nil || one.Job == "" {
		return // written by a newer version
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[entry.Key()] = one
	for h := range c.inHand[entry.Key()] {
		h.end(errCancelled)
	}
}

// of returns the cancellation of a pass, or nil.
func (c *cancels) of(work job.Job) *Cancellation {
	c.mu.Lock()
	defer c.mu.Unlock()
	one, is := c.all[work.PassID()]
	if work.ID == "" || !is {
		return nil
	}
	return &one
}

// hasEnd reports whether a dead letter ended the pass.
func (c *cancels) hasEnd(work job.Job) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, has := c.ends[work.PassID()]
	return has && work.Drop != ""
}

// watch has end called when the pass is cancelled, or is already, until release is called.
func (c *cancels) watch(work job.Job, end context.CancelCauseFunc) (release func()) {
	h, pass := &inHand{end: end}, work.PassID()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inHand[pass] == nil {
		c.inHand[pass] = map[*inHand]struct{}{}
	}
	c.inHand[pass][h] = struct{}{}
	if _, is := c.all[pass]; is {
		end(errCancelled)
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if delete(c.inHand[pass], h); len(c.inHand[pass]) == 0 {
			delete(c.inHand, pass)
		}
	}
}
