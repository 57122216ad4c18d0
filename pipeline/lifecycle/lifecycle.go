// Package lifecycle is how a process starts its services, tells the world how they are, and stops them without losing anything.
package lifecycle

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/secret"
)

// DefaultBucket is pdfmill's own bucket.
const DefaultBucket = "pdfmill"

// Platform is what every service stands on.
type Platform struct {
	Broker   *jet.Broker
	Store    object.Store
	Bucket   string // pdfmill's own
	Cache    string // absolute path of the folder for what can be made again: compiled code, Python environments, models
	Secrets  *secret.Store
	Observer jet.Observer
	Metrics  prometheus.Registerer // where a service adds its own metrics; nil: nobody reads them
	Version  string                // of pdfmill
	Log      *slog.Logger
}

// Service is one of the four. Run blocks until ctx ends and its work in hand is done or given back; an error means that the service
// can't go on. Ready reports why it can't take work right now, or nil.
type Service interface {
	Name() string
	Run(ctx context.Context) error
	Ready() error
}

// Run runs services until ctx ends or one of them fails, which stops the others; it returns the first failure.
func Run(ctx context.Context, log *slog.Logger, services ...Service) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range services {
		group.Go(func() error {
			log.Debug("service starts", "service", s.Name())
			if err := s.Run(ctx); err != nil {
				return fmt.Errorf("%s: %w", s.Name(), err)
			}
			log.Debug("service stopped", "service", s.Name())
			return nil
		})
	}
	return group.Wait()
}
