package jet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// strandedEvery is how often stranded messages are looked for. One is buried when two looks in a row find it.
var strandedEvery = 30 * time.Second

// stranded finds messages that their consumer has left behind: delivered as often as allowed, with the advisory that should say so lost together with the
// server. A work queue keeps them for ever, and nobody is given them again.
type stranded struct {
	broker *Broker
	before map[uint64]bool // found by the last look
}

// run looks until ctx ends.
func (s *stranded) run(ctx context.Context, log *slog.Logger, bury func(seq uint64) error) {
	for ctx.Err() == nil {
		if err := s.look(ctx, bury); err != nil && ctx.Err() == nil {
			log.Warn("could not look for stranded messages", "err", err)
		}
		wait(ctx, strandedEvery)
	}
}

// look calls bury for each message that is stranded for sure.
func (s *stranded) look(ctx context.Context, bury func(seq uint64) error) error {
	stream, err := s.broker.js.Stream(ctx, StreamJobs)
	if err != nil {
		return missing("stream "+StreamJobs, err)
	}
	found := map[uint64]bool{}
	consumers := stream.ListConsumers(ctx)
	for info := range consumers.Info() {
		if err := s.behind(ctx, stream, info, found); err != nil {
			return err
		}
	}
	if err := consumers.Err(); err != nil {
		return fmt.Errorf("list consumers of %s: %w", StreamJobs, err)
	}
	for seq := range found {
		if s.before[seq] { // else its acknowledgement may just be on its way from the consumer to the stream
			if err := bury(seq); err != nil {
				return err
			}
			delete(found, seq)
		}
	}
	s.before = found
	return nil
}

// behind adds to found what is still there of the messages that a consumer has passed for good: up to its acknowledgement floor or, when nothing is
// pending, to the last that it delivered.
func (s *stranded) behind(ctx context.Context, stream jetstream.Stream, info *jetstream.ConsumerInfo, found map[uint64]bool) error {
	passed := info.AckFloor.Stream
	if info.NumAckPending == 0 {
		passed = max(passed, info.Delivered.Stream)
	}
	for seq := uint64(1); seq <= passed; {
		raw, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(info.Config.FilterSubject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s from message %d on: %w", StreamJobs, seq, err)
		}
		if raw.Sequence <= passed {
			found[raw.Sequence] = true
		}
		seq = raw.Sequence + 1
	}
	return nil
}
