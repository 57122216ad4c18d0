package gpurunner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
	"github.com/pdfmill/pdfmill/services/gpu-runner/schedule"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// Trial is one worker of an engine with the servers that it asks, started as the pipeline starts them, but without books of memory: nothing else is
// supposed to run.
type Trial struct {
	Worker  *supervise.Process
	config  Config
	servers *servers
	gpus    devices.Meter
}

// StartTrial loads an engine. limit is for the servers, and again for the worker. Stop what it returns.
func StartTrial(ctx context.Context, name string, c Config, cache string, limit time.Duration, log *slog.Logger) (*Trial, error) {
	s := &Service{config: c.resolved(cache), log: log}
	s.config.Serve = []string{name}
	var err error
	if s.config.underling, err = newUnderling(s.config, cache, log); err != nil {
		return nil, err
	}
	if err := s.config.underling.settle(s.config.Scratch); err != nil {
		return nil, fmt.Errorf("scratch folder: %w", err)
	}
	gpus, err := s.openGPUs()
	if err != nil {
		return nil, err
	}
	t := &Trial{config: s.config, gpus: s.gpus}
	if err := t.start(ctx, name, s.config, cache, limit, gpus, log); err != nil {
		t.Stop()
		return nil, err
	}
	return t, nil
}

func (t *Trial) start(ctx context.Context, name string, c Config, cache string, limit time.Duration, gpus []devices.Reading, log *slog.Logger) error {
	registry, err := supervise.NewRegistry(filepath.Join(cache, "workers"), log)
	if err != nil {
		return fmt.Errorf("record of workers: %w", err)
	}
	first := ""
	if len(gpus) > 0 {
		first = gpus[0].ID
		gpus = gpus[:1]
	}
	anywhere := func(context.Context, schedule.Guest) (schedule.Stay, error) {
		return schedule.Stay{Device: first, End: func() {}}, nil
	}
	if t.servers, err = newServers(name, c, cache, anywhere, gpus, registry, nil, log); err != nil {
		return err
	}
	t.servers.start()
	waiting, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not ready after %s", limit))
	defer cancel()
	at, err := t.servers.addresses(waiting, 0)
	if err != nil {
		return err
	}
	launch := supervise.Launch{}
	if profile(name, c).GPU {
		launch.Device = first
	}
	command, err := build(ctx, name, c, cache, launch, 1, at, log)
	if err != nil {
		return err
	}
	t.Worker, err = supervise.Start(ctx, supervise.Config{Name: "trial", Command: command, Engine: name, LoadTimeout: limit, Log: log})
	return err
}

// Convert converts the first page of a document, which stays as it is: the worker, who may be nobody, gets a copy.
func (t *Trial) Convert(ctx context.Context, document io.Reader, limit time.Duration) (protocol.Result, error) {
	dir, err := os.MkdirTemp(t.config.Scratch, "page-")
	if err != nil {
		return protocol.Result{}, err
	}
	defer os.RemoveAll(dir)
	page, out := filepath.Join(dir, "page.pdf"), filepath.Join(dir, "out")
	file, err := os.Create(page)
	if err != nil {
		return protocol.Result{}, err
	}
	_, err = io.Copy(file, document)
	err = errors.Join(err, file.Close(), os.Chmod(dir, 0o711), t.config.underling.lend(page), os.Mkdir(out, 0o700))
	if err == nil {
		err = t.config.underling.give(out)
	}
	if err != nil {
		return protocol.Result{}, err
	}
	return t.Worker.Convert(ctx, supervise.Request{
		ID: "try", Path: page, Range: pages.Range{First: 1, Last: 1}, OutDir: out, Total: limit, Silence: limit,
		Options: protocol.Options{Output: "markdown", Images: true, Mode: event.ModeDefault},
	}, nil)
}

// Servers returns the servers as they are now.
func (t *Trial) Servers() []supervise.ServerSnapshot { return t.servers.snapshots() }

// Stop ends everything.
func (t *Trial) Stop() {
	if t.Worker != nil {
		t.Worker.Kill(nil)
		<-t.Worker.Done()
	}
	t.servers.stop()
	if t.gpus != nil {
		_ = t.gpus.Close() // nothing is left to be measured
	}
}
