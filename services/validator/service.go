// Package validator decides what a PDF is, whether it may go on, and how it is cut up. Documents are opened only inside a sandbox, in a process of its
// own (package sandbox); what this package itself reads of a document is a few bytes at each end.
package validator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
	"github.com/pdfmill/pdfmill/services/validator/sandbox"
)

const maxThumbnailPixels = 1024

// Config of the validator.
type Config struct {
	Concurrency   int      `name:"validator-concurrency" env:"PDFMILL_VALIDATOR_CONCURRENCY" default:"0" help:"Documents inspected at once; 0: one a core."`
	AutoEngine    string   `name:"auto-engine" env:"PDFMILL_AUTO_ENGINE" help:"Engine for all pages of documents that ask for auto; empty: one is chosen for each page, among engines."`
	Engines       []string `name:"engines" env:"PDFMILL_ENGINES" default:"text" help:"Engines that somebody serves; a document that asks for another is refused. With what documents may need of who serves them: marker,marker@region=eu."`
	MaxRangePages int      `name:"max-range-pages" env:"PDFMILL_MAX_RANGE_PAGES" default:"32" help:"Pages in one range at most."`
	Scratch       string   `name:"validator-scratch" env:"PDFMILL_VALIDATOR_SCRATCH" type:"path" help:"Folder for documents while they are inspected; default: the system's temporary folder."`
	ProbeUser     string   `name:"probe-user" env:"PDFMILL_PROBE_USER" default:"auto" placeholder:"USER" help:"User that documents are opened and repaired as when this process is root: a name, UID:GID, none (root) or auto (nobody, where that user can reach scratch)."`
	Thumbnail     int      `name:"thumbnail-pixels" env:"PDFMILL_THUMBNAIL_PIXELS" default:"320" help:"Longest side of the picture of the first page that is kept beside the result; 0: none."`
	Limits        Limits   `embed:""`
	Policies      Policies `embed:""`

	// Sandbox says how to start the process that opens documents.
	Sandbox sandbox.Config `kong:"-"`
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var faults []error
	if c.Concurrency < 0 {
		faults = append(faults, fmt.Errorf("validator-concurrency is %d: it can't be negative", c.Concurrency))
	}
	if c.MaxRangePages < 1 {
		faults = append(faults, fmt.Errorf("max-range-pages is %d: a range has at least one page", c.MaxRangePages))
	}
	if c.AutoEngine != "" && !slices.Contains(c.Engines, c.AutoEngine) {
		faults = append(faults, fmt.Errorf("auto-engine is %q, which is not among engines %v", c.AutoEngine, c.Engines))
	}
	if c.Thumbnail < 0 || c.Thumbnail > maxThumbnailPixels {
		faults = append(faults, fmt.Errorf("thumbnail-pixels is %d: it is 0 to %d", c.Thumbnail, maxThumbnailPixels))
	}
	if _, err := job.ParseRoutes(c.Engines); err != nil {
		faults = append(faults, fmt.Errorf("engines: %w", err))
	}
	if slices.Contains(c.Engines, job.EngineAuto) {
		faults = append(faults, errors.New("engines names auto, which is not an engine but a wish"))
	}
	return errors.Join(append(faults, c.Limits.Validate())...)
}

// Service is the validator.
type Service struct {
	config    Config
	platform  lifecycle.Platform
	inspector *Inspector
	log       *slog.Logger
}

// New makes a validator; it starts nothing yet.
func New(c Config, p lifecycle.Platform) (*Service, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	log := p.Log.With("service", stage.Validator)
	if c.Scratch == "" {
		c.Scratch = os.TempDir()
	}
	if c.Concurrency == 0 {
		c.Concurrency = runtime.NumCPU()
	}
	c.Sandbox.Probes = c.Concurrency
	if c.Sandbox.CacheDir == "" && p.Cache != "" {
		c.Sandbox.CacheDir = sandbox.CacheDir(p.Cache)
	}
	var err error
	if c.Sandbox.User, err = c.probeUser(log); err != nil {
		return nil, err
	}
	inspector, err := NewInspector(c.Sandbox, c.Limits, c.Policies, p.Secrets)
	if err != nil {
		return nil, err
	}
	return &Service{config: c, platform: p, inspector: inspector, log: log}, nil
}

// probeUser is whom probes become, nil for the user of this process.
func (c Config) probeUser(log *slog.Logger) (*unprivileged.User, error) {
	user, err := unprivileged.Find(c.ProbeUser)
	if err != nil {
		return nil, fmt.Errorf("probe-user: %w", err)
	}
	switch err := user.Reach(filepath.Join(c.Scratch, "document")); {
	case err == nil:
		return user, nil
	case c.ProbeUser != unprivileged.Auto:
		return nil, fmt.Errorf("validator-scratch: %w", err)
	default:
		log.Warn("documents are opened as root: keep scratch where everybody may pass, or name it with --validator-scratch", "err", err)
		return nil, nil
	}
}

// Name implements lifecycle.Service.
func (s *Service) Name() string { return stage.Validator }

// Ready implements lifecycle.Service.
func (s *Service) Ready() error { return s.platform.Broker.Healthy() }

// handsFull is how many documents are in work for each that is inspected: what is brought from the store and put there takes as long as looking at a small one, and a
// probe must not wait for it.
const handsFull = 3

// Run implements lifecycle.Service.
func (s *Service) Run(ctx context.Context) error {
	defer s.inspector.Close()
	if err := s.inspector.Warm(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return jet.Run(ctx, s.platform.Broker, jet.Loop{
		Stage: stage.Validator, Subject: event.SubjectIngested, Concurrency: handsFull * s.config.Concurrency,
		Observer: s.platform.Observer, Version: s.platform.Version, Log: s.log,
	}, s.handle)
}
