package gpurunner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/secret"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
	"github.com/pdfmill/pdfmill/services/gpu-runner/pyenv"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// engine is one engine's workers.
type engine struct {
	name string
	pool *supervise.Pool
}

// repairAfter is how many starts in a row must end without a word before the Python environment is suspected and built anew.
const repairAfter = 2

func newEngine(name string, c Config, cache string, log *slog.Logger) (*engine, error) {
	registry, err := supervise.NewRegistry(filepath.Join(cache, "workers"), log)
	if err != nil {
		return nil, fmt.Errorf("record of workers: %w", err)
	}
	launch := func(ctx context.Context, l supervise.Launch) (supervise.Command, error) {
		return Command(ctx, name, c, cache, l, log)
	}
	return &engine{name: name, pool: supervise.NewPool(supervise.PoolConfig{
		Engine: name, Workers: c.Workers, Launch: launch, Log: log, OOM: supervise.NewOOMCounter(""), Registry: registry,
	})}, nil
}

// Command returns how a worker of an engine is started, after building its environment if need be. Marker's is never built by itself.
func Command(ctx context.Context, name string, c Config, cache string, l supervise.Launch, log *slog.Logger) (supervise.Command, error) {
	wanted := pyenv.Config{
		Dir: cache, Python: c.Python, Repair: l.Failures >= repairAfter && errors.Is(l.Last, supervise.ErrNoHello), Progress: c.Install, Log: log,
	}
	var err error
	if wanted.Extra, err = c.extra(name, wanted); err != nil {
		return supervise.Command{}, err
	}
	env, err := pyenv.Ensure(ctx, wanted)
	if err != nil {
		return supervise.Command{}, err
	}
	return command(name, c, cache, env.Python), nil
}

// command starts a worker with nothing of this process' environment but what it needs.
func command(name string, c Config, cache, python string) supervise.Command {
	more := map[string]string{"PYTHONDONTWRITEBYTECODE": os.Getenv("PYTHONDONTWRITEBYTECODE")}
	if name == job.EngineMarker {
		maps.Copy(more, c.Marker.environment(cache))
	} else if c.MemoryLimit > 0 {
		more["PDFMILL_MEMORY_LIMIT"] = strconv.FormatInt(c.MemoryLimit, 10)
	}
	return supervise.Command{
		Path: python, Args: []string{"-m", "pdfmill_runner", "--engine", name},
		Env: supervise.Environment{
			Path: os.Getenv("PATH"), Home: cache, Temp: c.Scratch, ModelCache: filepath.Join(cache, "models"), Threads: 1, More: more,
		}.List(),
	}
}

// ready reports why no worker can take a range.
func (e *engine) ready() error {
	s := e.pool.Snapshot()
	if s.Ready() > 0 {
		return nil
	}
	for _, w := range s.Workers {
		if w.LastError != "" {
			return fmt.Errorf("engine %s: no worker is ready: %s", e.name, w.LastError)
		}
	}
	return fmt.Errorf("engine %s: no worker is ready yet", e.name)
}

func (e *engine) stop(log *slog.Logger) {
	if err := e.pool.Stop(context.Background()); err != nil {
		log.Warn("workers did not end by themselves", "engine", e.name, "err", err)
	}
}

// convert has a range converted by any worker.
func (e *engine) convert(ctx context.Context, m event.Range, source, outDir string, passwords []secret.Text, c clocks) (supervise.Outcome, error) {
	priority := supervise.Bulk
	if m.Lane == job.LaneInteractive {
		priority = supervise.Interactive
	}
	return e.pool.Convert(ctx, supervise.Job{Priority: priority, Request: supervise.Request{
		ID: m.ID, Path: source, Range: m.Range, OutDir: outDir, Total: c.total, Silence: c.silence, Passwords: passwords,
		Options: protocol.Options{Output: m.Options.Output, Images: m.Options.Images, ForceOCR: m.Options.ForceOCR, Mode: m.Mode, Engine: m.Options.EngineOptions},
	}})
}
