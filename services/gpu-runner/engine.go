package gpurunner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/secret"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
	"github.com/pdfmill/pdfmill/services/gpu-runner/pyenv"
	"github.com/pdfmill/pdfmill/services/gpu-runner/schedule"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// engine is one engine's workers.
type engine struct {
	name      string
	places    int
	pool      *supervise.Pool
	scheduler *schedule.Scheduler
}

// repairAfter is how many starts in a row must end without a word before the Python environment is suspected and built anew.
const repairAfter = 2

func newEngine(name string, c Config, cache string, s *schedule.Scheduler, gpus []devices.Reading, log *slog.Logger) (*engine, error) {
	registry, err := supervise.NewRegistry(filepath.Join(cache, "workers"), log)
	if err != nil {
		return nil, fmt.Errorf("record of workers: %w", err)
	}
	what := profile(name, c)
	e := &engine{name: name, places: places(what, c, gpus), scheduler: s}
	launch := func(ctx context.Context, l supervise.Launch) (supervise.Command, error) {
		return build(ctx, name, c, cache, l, e.places, log)
	}
	admitter, rooms := s.Add(what)
	e.pool = supervise.NewPool(supervise.PoolConfig{
		Engine: name, Workers: e.places, Isolated: 1, Launch: launch, Admitter: admitter, Rooms: rooms, Log: log,
		OOM: supervise.NewOOMCounter(""), Registry: registry, ProbeEvery: c.ProbeEvery, RecycleAge: c.RecycleAge,
	})
	s.Attach(name, e.pool)
	return e, nil
}

// Command returns how a worker of an engine is started, after building its environment if need be. Those of marker and ocr are never built by themselves.
func Command(ctx context.Context, name string, c Config, cache string, l supervise.Launch, log *slog.Logger) (supervise.Command, error) {
	return build(ctx, name, c, cache, l, max(1, c.Workers), log)
}

// build is Command for one of so many workers, which share the cores.
func build(ctx context.Context, name string, c Config, cache string, l supervise.Launch, workers int, log *slog.Logger) (supervise.Command, error) {
	if c.Runner != "" {
		return command(name, c, cache, c.Runner, l, workers), nil
	}
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
	return command(name, c, cache, env.Python, l, workers), nil
}

// command starts a worker with nothing of this process' environment but what it needs.
func command(name string, c Config, cache, python string, l supervise.Launch, workers int) supervise.Command {
	env := supervise.Environment{
		Path: os.Getenv("PATH"), Home: cache, Temp: c.Scratch, ModelCache: filepath.Join(cache, "models"), Threads: 1,
	}
	if profile(name, c).GPU {
		env.Device, env.VisibleDevices, env.Threads = "cpu", l.Device, threads(workers)
		if l.Device != "" {
			env.Device = "cuda"
		}
		env.More = c.environment(l.Isolated)
		if name == job.EngineMarker {
			maps.Copy(env.More, c.Marker.environment(cache))
		}
	} else {
		env.More = map[string]string{"PYTHONDONTWRITEBYTECODE": os.Getenv("PYTHONDONTWRITEBYTECODE")}
		if c.MemoryLimit > 0 {
			env.More["PDFMILL_MEMORY_LIMIT"] = strconv.FormatInt(c.MemoryLimit, 10)
		}
	}
	return supervise.Command{Path: python, Args: []string{"-m", "pdfmill_runner", "--engine", name}, Env: env.List()}
}

// ready reports why no worker can take a range.
func (e *engine) ready() error {
	s := e.pool.Snapshot()
	if s.Ready() > 0 {
		return nil
	}
	if idle := !slices.ContainsFunc(s.Workers, func(w supervise.WorkerSnapshot) bool { return w.State != supervise.Unloaded }); idle && e.scheduler.Unloaded(e.name) {
		return nil // they have left the device because nobody needed them, and come back when somebody does
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
func (e *engine) convert(
	ctx context.Context, m event.Range, source, outDir string, passwords []secret.Text, c clocks, pressure int,
) (supervise.Outcome, error) {
	priority := supervise.Bulk
	switch m.Lane {
	case job.LaneInteractive:
		priority = supervise.Interactive
	case job.LaneSuspect:
		priority = supervise.Suspect
	}
	need := supervise.Need{Pages: m.Range.Len(), Megapixels: m.Megapixels, Pressure: pressure}
	return e.pool.Convert(ctx, supervise.Job{Priority: priority, Need: need, Request: supervise.Request{
		ID: m.ID, Path: source, Range: m.Range, OutDir: outDir, Total: c.total, Silence: c.silence, Passwords: passwords,
		Options: protocol.Options{Output: m.Options.Output, Images: m.Options.Images, ForceOCR: m.Options.ForceOCR, Mode: m.Mode, Engine: m.Options.EngineOptions},
	}})
}
