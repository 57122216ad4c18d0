package jet

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// keepAlive sends heartbeats for msg until the returned function is called, which waits for the last one.
func keepAlive(ctx context.Context, msg jetstream.Msg) (stop func()) {
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		ticker := time.NewTicker(AckWait / 3)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-ticker.C:
				_ = msg.InProgress() // a lost heartbeat is made up by the next; a lost connection by redelivery
			}
		}
	})
	return func() { close(done); group.Wait() }
}
