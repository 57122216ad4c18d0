package retention

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// Settings of the sweeps that a process does by itself.
type Settings struct {
	Every      time.Duration `name:"sweep-every" env:"PDFMILL_SWEEP_EVERY" default:"6h" help:"Pause between two sweeps of what nobody needs any more; 0: none."`
	RangesAge  time.Duration `name:"sweep-ranges-age" env:"PDFMILL_SWEEP_RANGES_AGE" default:"168h" help:"Results of page ranges go when they are this old (at least 1h; 0 keeps them)."`
	SourcesAge time.Duration `name:"sweep-sources-age" env:"PDFMILL_SWEEP_SOURCES_AGE" default:"720h" help:"Copies of accepted documents go when they are this old (at least 1h; 0 keeps them)."`
}

// Validate reports every setting that can't be used, joined.
func (s Settings) Validate() error {
	err := Config{RangesAge: s.RangesAge, SourcesAge: s.SourcesAge, minAge: MinAge}.validate()
	if s.Every < 0 {
		err = errors.Join(err, errors.New("sweep-every is negative"))
	}
	return err
}

// Service sweeps at intervals. It is a lifecycle.Service; several at once, in different processes, do no harm.
type Service struct {
	settings Settings
	store    object.Store
	broker   *jet.Broker
	bucket   string
	log      *slog.Logger
}

// NewService returns a service that sweeps pdfmill's own bucket.
func NewService(s Settings, store object.Store, broker *jet.Broker, bucket string, log *slog.Logger) *Service {
	return &Service{settings: s, store: store, broker: broker, bucket: bucket, log: log}
}

// Name implements lifecycle.Service.
func (s *Service) Name() string { return "retention" }

// Ready implements lifecycle.Service: nobody waits for a sweep.
func (s *Service) Ready() error { return nil }

// Run sweeps until ctx ends, for the first time after a part of the interval that differs from process to process.
func (s *Service) Run(ctx context.Context) error {
	if s.settings.Every == 0 {
		<-ctx.Done()
		return nil
	}
	timer := time.NewTimer(rand.N(s.settings.Every) + time.Second)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			s.once(ctx)
			timer.Reset(s.settings.Every)
		}
	}
}

func (s *Service) once(ctx context.Context) {
	box, err := deadletter.NewBox(ctx, s.broker.JS())
	var report Report
	if err == nil {
		report, err = Sweep(ctx, s.store, s.broker, box, Config{Bucket: s.bucket, RangesAge: s.settings.RangesAge, SourcesAge: s.settings.SourcesAge})
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.log.Warn("sweep not finished, will try again", "err", err, "in", s.settings.Every)
	case report.Objects > 0:
		s.log.Info("swept", "objects", report.Objects, "bytes", report.Bytes, "jobs", report.Jobs, "sources", report.Sources)
	}
}
