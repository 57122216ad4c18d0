package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/secret"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
)

// Run is the main of a service process, name: it connects, makes sure that the topology and the bucket are there, serves health and metrics, and runs the service
// that build makes until SIGINT or SIGTERM; a second signal ends it at once. What is not there yet is waited for. Processes of stages that open no document
// bury what kills the handlers of any.
func (p Platform) Run(name string, build func(lifecycle.Platform) (lifecycle.Service, error)) (err error) {
	log := telemetry.NewLogger(os.Stderr, p.Logging)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal finds no handler and ends the process
	cache, err := CacheDir(p.Cache)
	if err != nil {
		return err
	}
	if p.NATS.InboxPrefix == "" {
		p.NATS.InboxPrefix = jet.InboxPrefix(name)
	}
	broker, err := jet.Reach(ctx, p.NATS, "pdfmill-"+name, log)
	if err != nil {
		return stopped(ctx, err)
	}
	defer broker.Close()
	store, err := object.NewS3(p.S3)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	defer store.Close()
	if err := p.prepare(ctx, broker, store); err != nil {
		return stopped(ctx, err)
	}
	metrics := telemetry.NewMetrics()
	projection, err := jet.NewProjection(ctx, broker)
	if err != nil {
		return err
	}
	service, err := build(lifecycle.Platform{
		Broker: broker, Store: store, Bucket: p.Bucket, Cache: cache, Secrets: secret.NewStore(p.Secrets), Observer: jet.Observers{metrics, projection}, Metrics: metrics.Registry(), Version: lifecycle.Version, Log: log,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	services := []lifecycle.Service{service, projection}
	if jet.Sweeps(name) {
		services = append(services, jet.NewSweeper(broker, lifecycle.Version, log))
	}
	if jet.Desks(name) {
		services = append(services, jet.NewDesk(broker, lifecycle.Version, log), jet.NewCourier(broker, log))
	}
	web, err := lifecycle.ListenHTTP(ctx, p.HTTPAddr, metrics.Registry(), log, services...)
	if err != nil {
		return err
	}
	log.Info("started", "service", service.Name(), "version", lifecycle.Version, "http", web.URL())
	said := make(chan struct{})
	unsaid := context.AfterFunc(ctx, func() {
		defer close(said)
		log.Info("stopping", "service", service.Name(), "within", drain(service).String())
	})
	err = lifecycle.Run(ctx, log, append(services, web)...)
	if !unsaid() {
		<-said
	}
	log.Info("stopped", "service", service.Name())
	return err
}

// drain is how long a service goes on at most when it is to stop: the grace of its loops, unless it says otherwise.
func drain(service lifecycle.Service) time.Duration {
	if s, ok := service.(interface{ Drain() time.Duration }); ok {
		return s.Drain()
	}
	return jet.Grace
}

// prepare makes topology and bucket, or waits for them.
func (p Platform) prepare(ctx context.Context, broker *jet.Broker, store *object.S3) error {
	if p.Topology == "wait" {
		return broker.Await(ctx)
	}
	return errors.Join(broker.Apply(ctx, p.Replicas), store.EnsureBucket(ctx, p.Bucket))
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

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("print settings: %w", err)
	}
	return nil
}
