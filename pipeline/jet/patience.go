package jet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// apiWait bounds one request to JetStream's API: one without a leader does not answer.
	apiWait = 5 * time.Second
	// firstPause and longestPause are between two tries.
	firstPause, longestPause = 100 * time.Millisecond, 5 * time.Second
)

// codeNoPeers is what a cluster answers while too few of its servers are there to hold the replicas (nats-server 2.15: code 400, as if it were our fault).
const codeNoPeers jetstream.ErrorCode = 10005

// passing says whether an error is of JetStream's present state (no leader, too few servers, full, slow, away) and not of what was asked.
func passing(err error) bool {
	if api := (*jetstream.APIError)(nil); errors.As(err, &api) {
		return api.Code >= http.StatusInternalServerError || api.ErrorCode == codeNoPeers
	}
	for _, is := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, jetstream.ErrNoStreamResponse,
		nats.ErrConnectionReconnecting, nats.ErrDisconnected, nats.ErrNoServers,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// patiently tries until it succeeds, fails for good or ctx ends.
func patiently(ctx context.Context, log *slog.Logger, what string, try func(context.Context) error) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		attempt, cancel := context.WithTimeout(ctx, apiWait)
		err := try(attempt)
		cancel()
		if err == nil || ctx.Err() != nil || !passing(err) {
			return err
		}
		log.Warn("JetStream can't right now, waiting", "for", what, "err", err, "retry_in", pause)
		wait(ctx, pause)
	}
}

// errOld says that somebody has to apply a newer topology.
var errOld = errors.New("the topology on this server is of an earlier version of pdfmill (run: pdfmill topology apply)")

// Await waits until somebody has applied the topology, in this version or a later one.
func (b *Broker) Await(ctx context.Context) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		attempt, cancel := context.WithTimeout(ctx, apiWait)
		err := b.applied(attempt)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		b.log.Warn("waiting for the topology", "err", err, "retry_in", pause)
		wait(ctx, pause)
	}
}

func (b *Broker) applied(ctx context.Context) error {
	stream, err := b.js.Stream(ctx, StreamJobs)
	if err != nil {
		return missing("stream "+StreamJobs, err)
	}
	if versionOf(stream.CachedInfo().Config) < TopologyVersion {
		return errOld
	}
	return nil
}

// versionOf is the version of pdfmill's topology that a stream was made by, 0 when it does not say.
func versionOf(c jetstream.StreamConfig) int {
	version, _ := strconv.Atoi(c.Metadata[versionKey]) // not a number: not ours
	return version
}

// consumer makes the durable consumer, or finds it, as soon as JetStream can.
func (b *Broker) consumer(ctx context.Context, stream string, c jetstream.ConsumerConfig) (consumer jetstream.Consumer, err error) {
	what := fmt.Sprintf("consumer %s on stream %s", c.Durable, stream)
	err = patiently(ctx, b.log, what, func(ctx context.Context) error {
		consumer, err = b.js.CreateOrUpdateConsumer(ctx, stream, c)
		return err
	})
	if err != nil {
		return nil, missing(what, err)
	}
	return consumer, nil
}

// bucket opens a KV bucket as soon as JetStream can.
func (b *Broker) bucket(ctx context.Context, name string) (kv jetstream.KeyValue, err error) {
	what := "KV bucket " + name
	err = patiently(ctx, b.log, what, func(ctx context.Context) error {
		kv, err = b.js.KeyValue(ctx, name)
		return err
	})
	if err != nil {
		return nil, missing(what, err)
	}
	return kv, nil
}

// stopped is err unless ctx ended, which is no fault.
func stopped(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}
