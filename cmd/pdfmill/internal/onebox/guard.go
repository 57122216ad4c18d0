package onebox

import (
	"context"
	"fmt"

	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
)

// Guard is a service that fails when NATS can't write any more, as on a full disk. Going on would accept what can't be kept; after a new start everything is
// where it was.
func (b *Box) Guard() lifecycle.Service { return guard{b} }

type guard struct{ *Box }

// Name implements lifecycle.Service.
func (guard) Name() string { return "nats" }

// Ready implements lifecycle.Service.
func (g guard) Ready() error { return g.Broker.Healthy() }

// Run implements lifecycle.Service.
func (g guard) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-g.nats.Broken():
		return fmt.Errorf("can't write its files any more: %w (see that there is room for %s, then start again: what was accepted is kept)", err, g.dir)
	}
}
