package jet

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Broker is a connection to NATS with JetStream.
type Broker struct {
	conn *nats.Conn
	js   jetstream.JetStream
	log  *slog.Logger
	told *told
}

// JS is the JetStream context, for operator tools.
func (b *Broker) JS() jetstream.JetStream { return b.js }

// Apply creates what is missing of the topology and changes what an earlier version of pdfmill made, waiting as long as JetStream can't. It leaves
// alone what a later version made, and never takes replicas away. Consumers are for those who use them to make.
func (b *Broker) Apply(ctx context.Context, replicas int) error {
	return patiently(ctx, b.log, "the topology", func(ctx context.Context) error { return apply(ctx, b.js, replicas) })
}

// MaxPayload is the largest message, in bytes, that the server takes.
func (b *Broker) MaxPayload() int64 { return b.conn.MaxPayload() }

// Healthy reports why the broker can't be used right now, or nil.
func (b *Broker) Healthy() error {
	if status := b.conn.Status(); status != nats.CONNECTED {
		return fmt.Errorf("NATS is %s", status)
	}
	return nil
}

// Close flushes what was sent and closes the connection.
func (b *Broker) Close() {
	_ = b.conn.FlushTimeout(time.Second) // nothing durable depends on it: what matters was acknowledged
	b.conn.Close()
}
