// Package publisher is the last stage: when every wanted page of a document is converted or lost, it joins the ranges into one document, stores
// it as a revision that is never overwritten by another, and says so with the one event that ends the job.
//
//	pdf.rendered ─▶ store its lost pages ─▶ list the job ─▶ all pages there? ─ no ─▶ (a later message will see more)
//	                                                              │ yes
//	                   choose ranges ─▶ manifest, put once ─▶ images, document ─▶ pdf.converted
//	                                 └▶ no page came through ─▶ pdf.failed
//
// Ranges are stored before their message is sent, so whoever handles the last message of a pass sees everything. Several may: they
// choose the same, agree on one revision by compare-and-set, and announce it under one id.
package publisher

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/retention"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Service is the publisher. It is a lifecycle.Service.
type Service struct {
	config   Config
	platform lifecycle.Platform
	meter    *jet.Meter
}

// New returns a publisher; Run starts it. It fails when the configuration can't be used.
func New(c Config, p lifecycle.Platform) (*Service, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("publisher configuration: %w", err)
	}
	if p.Bucket == "" {
		p.Bucket = lifecycle.DefaultBucket
	}
	return &Service{config: c, platform: p, meter: jet.NewMeter(p.Broker)}, nil
}

// Name implements lifecycle.Service.
func (s *Service) Name() string { return stage.Publisher }

// Run implements lifecycle.Service.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return jet.Run(ctx, s.platform.Broker, jet.Loop{
			Stage: stage.Publisher, Subject: event.SubjectRendered, Concurrency: s.config.Concurrency,
			Observer: s.platform.Observer, Version: s.platform.Version, Log: s.platform.Log,
		}, s.handle)
	})
	group.Go(func() error {
		return retention.NewService(s.config.Sweep, s.platform.Store, s.platform.Broker, s.platform.Bucket, s.platform.Log).Run(ctx)
	})
	return group.Wait()
}

// Ready implements lifecycle.Service.
func (s *Service) Ready() error { return s.platform.Broker.Healthy() }
