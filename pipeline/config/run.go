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

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
)

// Run is the main of a service process: it connects, makes sure that the topology and the bucket are there, serves health and metrics, and runs the service
// that build makes until SIGINT or SIGTERM; a second signal ends it at once. Any service process buries what kills the handlers of any other.
func (p Platform) Run(build func(lifecycle.Platform) (lifecycle.Service, error)) (err error) {
	log := telemetry.NewLogger(os.Stderr, p.Logging)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal finds no handler and ends the process
	cache, err := CacheDir(p.Cache)
	if err != nil {
		return err
	}
	broker, err := jet.Connect(ctx, p.NATS, "pdfmill", log)
	if err != nil {
		return err
	}
	defer broker.Close()
	store, err := object.NewS3(p.S3)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	defer store.Close()
	if err := errors.Join(broker.Apply(ctx, p.Replicas), store.EnsureBucket(ctx, p.Bucket)); err != nil {
		return err
	}
	metrics := telemetry.NewMetrics()
	projection, err := jet.NewProjection(ctx, broker)
	if err != nil {
		return err
	}
	service, err := build(lifecycle.Platform{
		Broker: broker, Store: store, Bucket: p.Bucket, Cache: cache, Observer: jet.Observers{metrics, projection}, Version: lifecycle.Version, Log: log,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	services := []lifecycle.Service{service, jet.NewSweeper(broker, lifecycle.Version, log), projection}
	web, err := lifecycle.ListenHTTP(ctx, p.HTTPAddr, metrics.Registry(), log, services...)
	if err != nil {
		return err
	}
	log.Info("started", "service", service.Name(), "version", lifecycle.Version, "http", web.URL())
	err = lifecycle.Run(ctx, log, append(services, web)...)
	log.Info("stopped", "service", service.Name())
	return err
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("print settings: %w", err)
	}
	return nil
}
