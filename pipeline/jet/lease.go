package jet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// LeaseTTL is how long a lease outlives a holder that died or froze. A live one renews it every third of that.
const LeaseTTL = 6 * time.Second

// Hold runs do for as long as this process holds the lease with that name, and waits for the lease while another one does; it returns when ctx ends. A lease
// saves work, it protects nothing: a frozen holder goes on for a moment when it thaws, so what do does must bear being done twice. do must return
// when its context ends.
func (b *Broker) Hold(ctx context.Context, name string, log *slog.Logger, do func(context.Context)) error {
	kv, err := b.js.KeyValue(ctx, KVLeases)
	if err != nil {
		return stopped(ctx, missing("KV bucket "+KVLeases, err))
	}
	host, _ := os.Hostname() // an unknown host is an empty one
	l := &lease{kv: kv, name: name, holder: fmt.Appendf(nil, "%s pid %d", host, os.Getpid()), log: log}
	for ctx.Err() == nil {
		taken, err := l.take(ctx)
		if err != nil {
			log.Warn("could not ask for a lease, will try again", "lease", name, "err", err)
		}
		if !taken {
			wait(ctx, LeaseTTL/3+rand.N(LeaseTTL/15))
			continue
		}
		log.Debug("lease taken", "lease", name)
		l.hold(ctx, do)
	}
	return nil
}

type lease struct {
	kv       jetstream.KeyValue
	name     string
	holder   []byte
	revision uint64
	log      *slog.Logger
}

func (l *lease) take(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	revision, err := l.kv.Create(ctx, l.name, l.holder)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return false, nil
	}
	l.revision = revision
	return err == nil, err
}

// hold renews until ctx ends or the lease is lost, and gives it back when it can.
func (l *lease) hold(ctx context.Context, do func(context.Context)) {
	held, lose := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
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
	for renewed := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		attempt, cancel := context.WithTimeout(ctx, LeaseTTL/4)
		revision, err := l.kv.Update(attempt, l.name, l.holder, l.revision)
		cancel()
		switch {
		case err == nil:
			l.revision, renewed = revision, time.Now()
		case ctx.Err() != nil:
			return
		case lostRace(err), time.Since(renewed) >= LeaseTTL-LeaseTTL/3:
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
