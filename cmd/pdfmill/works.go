package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/alecthomas/kong"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/batch"
	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/onebox"
	"github.com/pdfmill/pdfmill/embedded"
	"github.com/pdfmill/pdfmill/pipeline/config"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	gpurunner "github.com/pdfmill/pdfmill/services/gpu-runner"
)

// works is the pipeline that convert starts for itself.
type works struct {
	data    string // kept afterwards; "" for a temporary directory
	workers int
	engine  string // that documents ask for
	log     *slog.Logger
	began   time.Time
	notices io.Writer // for people, while they wait for something unusual
	fail    context.CancelCauseFunc
	tally   *batch.Tally

	dir   string
	box   *onebox.Box
	plant *plant
	watch sync.WaitGroup
}

// step notes when something was reached, for whoever measures the start.
func (w *works) step(what string) {
	w.log.Debug("timeline", "step", what, "ms", time.Since(w.began).Milliseconds())
}

// start starts everything at once: workers and sandbox come up while the first document is on its way to them.
func (w *works) start(ctx context.Context) (batch.Backend, error) {
	w.step("start")
	durability := embedded.Synced
	if w.dir = w.data; w.dir == "" {
		durability = embedded.Relaxed // it is thrown away anyhow
		dir, err := os.MkdirTemp("", "pdfmill-convert-")
		if err != nil {
			return batch.Backend{}, fmt.Errorf("temporary directory: %w (set TMPDIR to one that is writable)", err)
		}
		w.dir = dir
	}
	set, err := w.settings()
	if err != nil {
		return batch.Backend{}, err
	}
	cache, err := config.CacheDir(set.Cache)
	if err != nil {
		return batch.Backend{}, err
	}
	if w.box, err = onebox.Start(ctx, onebox.Config{Dir: w.dir, Durability: durability, Engines: set.engines(), Log: w.log, Step: w.step}); err != nil {
		return batch.Backend{}, err
	}
	services, err := services("all", set, newPlatform(w.box, cache, set.Secrets, w.tally, nil, w.log))
	if err != nil {
		return batch.Backend{}, err
	}
	w.plant = startPlant(ctx, w.log, append(services, w.box.Guard(), jet.NewSweeper(w.box.Broker, lifecycle.Version, w.log)))
	w.watch.Go(func() {
		<-w.plant.over
		if w.plant.err != nil {
			w.fail(w.plant.err)
		}
	})
	w.step("services started")
	e := w.box.Endpoints
	client, err := jet.Connect(ctx, jet.Config{URL: e.NATSURL, User: e.OperatorUser, Password: e.OperatorPassword, InboxPrefix: jet.InboxPrefix(jet.RoleOperator)}, "pdfmill-convert", w.log)
	if err != nil {
		return batch.Backend{}, err
	}
	return batch.Backend{Broker: client, Store: w.box.Store, Inbox: e.InboxBucket, Discard: w.data == "", Close: client.Close}, nil
}

// settings are the defaults and the environment's, fit for a pipeline of which only one command knows.
func (w *works) settings() (settings, error) {
	var s settings
	if err := kong.ApplyDefaults(&s); err != nil {
		return s, usage(fmt.Errorf("settings in the environment: %w", err), "")
	}
	s.Runner.Workers = w.workers
	s.Validator.Thumbnail = 0 // nobody will look
	s.Runner.Scratch, s.Validator.Scratch = filepath.Join(w.dir, "scratch"), w.dir
	s.Runner.Install = preparing(w.notices)
	if os.Getenv("PDFMILL_SERVE") == "" && os.Getenv("PDFMILL_ENGINES") == "" {
		s.Runner.Serve = w.serve(environment{Cache: s.Cache, Python: s.Runner.Python})
		s.Validator.Engines = s.Runner.Serve
	}
	return s, nil
}

// serve names the engines that these documents need: the one they ask for, or text, and ocr beside it where it is installed.
func (w *works) serve(e environment) []string {
	switch {
	case w.engine != job.EngineAuto:
		return []string{w.engine}
	case e.missing(gpurunner.ExtraOCR) == "":
		return []string{job.EngineText, job.EngineOCR}
	}
	return []string{job.EngineText}
}

// end stops what was started and returns what went wrong, unless it is what reported tells already.
func (w *works) end(reported error) error {
	var err error
	if w.plant != nil {
		err = w.plant.stop(5 * time.Second)
		if errors.Is(err, errSlowStop) {
			err = nil // what is temporary is thrown away, what is kept goes on next time
		} else {
			w.watch.Wait()
		}
		if err != nil && errors.Is(reported, err) {
			err = nil
		}
		w.step("services ended")
	}
	if w.box != nil {
		err = errors.Join(err, stopBox(w.box))
		w.step("servers stopped")
	}
	if w.data == "" && w.dir != "" {
		err = errors.Join(err, os.RemoveAll(w.dir))
	}
	return err
}
