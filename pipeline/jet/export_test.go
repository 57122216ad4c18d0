package jet

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/job"
)

// SetRemembered makes the loop distrust the broker's memory of ids after d, until the returned function is called.
func SetRemembered(d time.Duration) (reset func()) {
	was := remembered
	remembered = d
	return func() { remembered = was }
}

// SetStrandedEvery changes how often stranded messages are looked for, until the returned function is called.
func SetStrandedEvery(d time.Duration) (reset func()) {
	was := strandedEvery
	strandedEvery = d
	return func() { strandedEvery = was }
}

// Merge is merge.
func Merge(was, news Status) Status { return merge(was, news) }

// Over asks whether the end of a pass is told.
func (b *Broker) Over(ctx context.Context, work job.Job, stored time.Time) (bool, error) {
	return b.over(ctx, work, stored)
}

// Looks is how many looks there may be at once.
const Looks = looks

// Look looks through the events.
func (b *Broker) Look(ctx context.Context, from jetstream.ConsumerConfig, see func(jetstream.Msg, uint64) bool) error {
	return look(ctx, b.js, from, see)
}

// Conn is the connection.
func Conn(b *Broker) *nats.Conn { return b.conn }

// FollowCancels starts to follow the cancellations.
func FollowCancels(ctx context.Context, b *Broker) error {
	_, err := b.followCancels(ctx)
	return err
}
