package jet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// LeaseTTL is how long a lease outlives a holder that died or froze. A live one renews it every third of that.
const LeaseTTL = 6 * time.Second

// SourcesLease is held by whoever takes away sources, while it looks for what needs them and deletes the rest, and by whoever starts a pass that relies on one without
// a message in the queue yet.
const SourcesLease = "sources"

// Hold runs do for as long as this process holds the lease with that name, and waits for the lease while another one does; it returns when ctx ends. A lease
// saves work, it protects nothing: a frozen holder goes on for a moment when it thaws, so what do does must bear being done twice. do must return
// when its context ends.
func (b *Broker) Hold(ctx context.Context, name string, log *slog.Logger, do func(context.Context)) error {
	l, err := b.lease(ctx, name, log)
	if err != nil {
		return stopped(ctx, err)
	}
	for l.await(ctx) {
		l.hold(ctx, do)
	}
	return nil
}

// Alone runs do once while this process holds the lease, and waits for the lease while another one does. Before each step that must not meet another holder's, do
// asks mine, which says no in time: a holder that froze must not go on where it was. What Held says of other processes is true LeaseLag later.
func (b *Broker) Alone(ctx context.Context, name string, do func(ctx context.Context, mine func() bool) error) error {
	l, err := b.lease(ctx, name, b.log)
	if err != nil {
		return err
	}
	if !l.await(ctx) {
		return ctx.Err()
	}
	l.hold(ctx, func(held context.Context) {
		if err = do(held, l.mine); err != nil && held.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("lease %s was lost: %w", name, err)
		}
	})
	return err
}

// LeaseLag is longer than a replica of a KV bucket, which may answer for it, is ever behind.
const LeaseLag = 2 * time.Second

// Held reports whether any process holds a lease.
func (b *Broker) Held(ctx context.Context, name string) (bool, error) {
	kv, err := b.js.KeyValue(ctx, KVLeases)
	if err != nil {
		return false, missing("KV bucket "+KVLeases, err)
	}
	_, err = kv.Get(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read lease %s: %w", name, err)
	}
	return true, nil
}

type lease struct {
	kv       jetstream.KeyValue
	name     string
	holder   []byte
	revision uint64
	renewed  atomic.Pointer[time.Time] // asked for, of the last renewal that was granted
	log      *slog.Logger
}

func (b *Broker) lease(ctx context.Context, name string, log *slog.Logger) (*lease, error) {
	kv, err := b.bucket(ctx, KVLeases)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname() // an unknown host is an empty one
	return &lease{kv: kv, name: name, holder: fmt.Appendf(nil, "%s pid %d", host, os.Getpid()), log: log}, nil
}

// await waits until the lease is taken, and returns false when ctx ends first.
func (l *lease) await(ctx context.Context) bool {
	for ctx.Err() == nil {
		taken, err := l.take(ctx)
		if err != nil {
			l.log.Warn("could not ask for a lease, will try again", "lease", l.name, "err", err)
		}
		if taken {
			l.log.Debug("lease taken", "lease", l.name)
			return true
		}
		wait(ctx, LeaseTTL/3+rand.N(LeaseTTL/15))
	}
	return false
}

// mine says whether nobody else can have the lease yet.
func (l *lease) mine() bool { return time.Since(*l.renewed.Load()) < LeaseTTL/2 }

func (l *lease) take(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	asked := time.Now()
	revision, err := l.kv.Create(ctx, l.name, l.holder)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return false, nil
	}
	l.revision = revision
	l.renewed.Store(&asked)
	return err == nil, err
}

// hold renews until ctx ends, the lease is lost or do returns, and gives it back when it can.
func (l *lease) hold(ctx context.Context, do func(context.Context)) {
	held, lose := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer lose()
		do(held)
	}()
	l.renew(held)
	lose()
	<-done
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := l.kv.Delete(back, l.name, jetstream.LastRevision(l.revision)); err != nil {
		l.log.Debug("lease not given back: it ends by itself", "lease", l.name, "err", err)
	}
}

// renew returns when ctx ends, another one has the lease, or it may have run out.
func (l *lease) renew(ctx context.Context) {
	ticker := time.NewTicker(LeaseTTL / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		attempt, cancel := context.WithTimeout(ctx, LeaseTTL/4)
		asked := time.Now()
		revision, err := l.kv.Update(attempt, l.name, l.holder, l.revision)
		cancel()
		switch {
		case err == nil:
			l.revision = revision
			l.renewed.Store(&asked)
		case ctx.Err() != nil:
			return
		case lostRace(err), time.Since(*l.renewed.Load()) >= LeaseTTL-LeaseTTL/3:
			l.log.Warn("lease lost", "lease", l.name, "err", err)
			return
		}
	}
}

// lostRace reports whether a compare-and-set failed because another one came first.
func lostRace(err error) bool {
	api := (*jetstream.APIError)(nil)
	return errors.Is(err, jetstream.ErrKeyExists) || (errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence)
}
