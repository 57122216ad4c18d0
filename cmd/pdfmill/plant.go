package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/onebox"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/secret"
)

// plant is services at work on a platform.
type plant struct {
	services []lifecycle.Service
	cancel   context.CancelFunc
	over     chan struct{} // closed when no service runs any more
	err      error         // of the service that failed first; read it after over
}

// newPlatform is what each service stands on in this process: connections with the rights of its stage.
func newPlatform(box *onebox.Box, cache string, secrets secret.Config, observer jet.Observer, metrics prometheus.Registerer, log *slog.Logger) func(stage string) lifecycle.Platform {
	return func(stage string) lifecycle.Platform {
		broker, store := box.Stage(stage)
		return lifecycle.Platform{
			Broker: broker, Store: store, Bucket: lifecycle.DefaultBucket, Cache: cache, Secrets: secret.NewStore(secrets), Observer: observer,
			Version: lifecycle.Version, Log: log,
		}
	}
}

// startPlant runs services until stop is called or one of them fails.
func startPlant(ctx context.Context, log *slog.Logger, services []lifecycle.Service) *plant {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &plant{services: services, cancel: cancel, over: make(chan struct{})}
	go func() {
		defer close(p.over)
		p.err = lifecycle.Run(ctx, log, services...)
	}()
	return p
}

// errSlowStop says that services did not end in time; what they had in hand is done again at the next start.
var errSlowStop = errors.New("services had work in hand when their time to stop was over; it is done at the next start")

// stop ends the services and waits for them, but not longer than grace.
func (p *plant) stop(grace time.Duration) error {
	p.cancel()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.over:
		return p.err
	case <-timer.C:
		return fmt.Errorf("%w (grace %s)", errSlowStop, grace)
	}
}

// stopBox stops the servers within a bound of its own.
func stopBox(box *onebox.Box) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return box.Stop(ctx)
}
