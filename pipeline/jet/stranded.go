package jet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// strandedEvery is how often stranded messages are looked for. One is dealt with when two looks in a row find it.
var strandedEvery = 30 * time.Second

// stranded finds messages that their consumer has left behind, together with a server that was killed: delivered as often as allowed, with the advisory that should
// say so lost; or acknowledged, with their removal lost. A work queue keeps them for ever, and nobody is given them again.
type stranded struct {
	broker *Broker
	before map[uint64]bool // found by the last look
}

// run looks until ctx ends.
func (s *stranded) run(ctx context.Context, log *slog.Logger, deal func(seq uint64) error) {
	for ctx.Err() == nil {
		if err := s.look(ctx, deal); err != nil && ctx.Err() == nil {
			log.Warn("could not look for stranded messages", "err", err)
		}
		wait(ctx, strandedEvery)
	}
}

// look calls deal for each message that is stranded for sure.
func (s *stranded) look(ctx context.Context, deal func(seq uint64) error) error {
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
			if err := deal(seq); err != nil {
				return err
			}
			delete(found, seq)
		}
	}
	s.before = found
	return nil
}

// againHeader marks a message that was stranded before.
const againHeader = "Pdfmill-Stranded"

// comeAgain has a stranded message worked on once more, as a new one: perhaps it was done, and is found to be, and a dead letter would give its job a second end. One
// that is stranded again is buried.
func (b *Broker) comeAgain(ctx context.Context, seq uint64, version string, log *slog.Logger) error {
	left, err := b.left(ctx, seq)
	if err != nil || left == nil {
		return err
	}
	if left.over || left.Header.Get(againHeader) != "" {
		return b.buryLeft(ctx, left, MaxDeliver, version, log)
	}
	m := nats.NewMsg(left.Subject)
	m.Data = left.Data
	m.Header.Set(jetstream.MsgIDHeader, messageID(left.Header, seq)+":again")
	keepSchema(m.Header, left.Header)
	m.Header.Set(againHeader, strconv.FormatUint(seq, 10))
	if _, err := b.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("publish message %d of %s again: %w", seq, StreamJobs, err)
	}
	if err := left.remove(ctx); err != nil {
		return err
	}
	log.Warn("a message that its consumer has left behind comes again", "stage", left.Stage, "job", left.Work.ID, "source", left.Work.Source.Path())
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
