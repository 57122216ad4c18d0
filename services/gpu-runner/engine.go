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
	"sync/atomic"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/secret"
	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
	"github.com/pdfmill/pdfmill/services/gpu-runner/cgroup"
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
	routes    []string // by which it is asked for: its name, and with what this machine does
	pool      *supervise.Pool
	servers   *servers    // that its workers ask; nil: none
	unable    atomic.Bool // no worker came up at the start, nor since
	scheduler *schedule.Scheduler
	log       *slog.Logger
}

// repairAfter is how many starts in a row must end without a word before the Python environment is suspected and built anew.
const repairAfter = 2

// freshFor is how long after a build another one would only give the same.
const freshFor = 10 * time.Minute

func newEngine(
	name string, c Config, cache string, s *schedule.Scheduler, gpus []devices.Reading, groups *cgroup.Tree, log *slog.Logger,
) (*engine, error) {
	registry, err := supervise.NewRegistry(filepath.Join(cache, "workers"), log)
	if err != nil {
		return nil, fmt.Errorf("record of workers: %w", err)
	}
	what := profile(name, c)
	e := &engine{name: name, places: places(what, c, gpus), routes: c.routes(name, gpus), scheduler: s, log: log}
	if e.servers, err = newServers(name, c, cache, s.Invite, gpus, registry, groups, log); err != nil {
		return nil, err
	}
	if c.Confine == confineAll && name == job.EngineMarker && c.Marker.LLM != "" {
		return nil, errors.New("confine is all: workers of marker could not reach the language model that they ask (auto lets these have the network)")
	}
	if most := e.servers.capacity(c.Marker); most > 0 {
		e.places = min(e.places, most)
	}
	launch := func(ctx context.Context, l supervise.Launch) (supervise.Command, error) {
		at, err := e.servers.addresses(ctx, l.Worker)
		if err != nil {
			return supervise.Command{}, err
		}
		return build(ctx, name, c, cache, l, e.places, at, log)
	}
	admitter, rooms := s.Add(what)
	e.pool = supervise.NewPool(supervise.PoolConfig{
		Engine: name, Workers: e.places, Isolated: 1, Launch: launch, Admitter: admitter, Rooms: rooms, Log: log,
		OOM: supervise.NewOOMCounter(""), Registry: registry, Groups: groups, ProbeEvery: c.ProbeEvery, RecycleAge: c.RecycleAge,
	})
	s.Attach(name, e.pool)
	return e, nil
}

// build returns how one of so many workers of an engine, which share the cores, is started, after making its environment if need be.
func build(ctx context.Context, name string, c Config, cache string, l supervise.Launch, workers int, at addresses, log *slog.Logger) (supervise.Command, error) {
	python := c.Runner
	if python == "" {
		env, err := install(ctx, name, c, cache, l, log)
		if err != nil {
			return supervise.Command{}, err
		}
		python = env.Python
	}
	user, err := c.underling.runs(ctx, python, c.Scratch)
	if err != nil {
		return supervise.Command{}, err
	}
	made := command(name, c, cache, python, user, l, workers, at)
	return made, c.enclose(ctx, &made, cache, l.Device)
}

// install returns an engine's Python environment, made if need be. Those of marker and ocr are never made by themselves.
func install(ctx context.Context, name string, c Config, cache string, l supervise.Launch, log *slog.Logger) (pyenv.Env, error) {
	wanted := pyenv.Config{Dir: cache, Python: c.Python, Progress: c.Install, Log: log}
	if l.Failures >= repairAfter && errors.Is(l.Last, supervise.ErrNoHello) {
		wanted.Suspect = time.Now().Add(-freshFor)
	}
	var err error
	if wanted.Extra, err = c.extra(name, wanted); err != nil {
		return pyenv.Env{}, err
	}
	return pyenv.Ensure(ctx, wanted)
}

// command starts a worker with nothing of this process' environment but what it needs.
func command(name string, c Config, cache, python string, user *unprivileged.User, l supervise.Launch, workers int, at addresses) supervise.Command {
	env := surroundings(c, cache, user)
	env.Threads = 1
	switch gpu := profile(name, c).GPU; {
	case gpu, name == job.EngineMarker:
		env.Device, env.VisibleDevices, env.Threads = "cpu", l.Device, threads(workers)
		if l.Device != "" {
			env.Device = "cuda"
		} else if !gpu {
			env.VisibleDevices = noGPU // its servers have them
		}
		env.More = c.environment(l.Isolated)
		if name == job.EngineMarker {
			maps.Copy(env.More, c.Marker.environment(cache, at))
		}
	default:
		env.More = map[string]string{"PYTHONDONTWRITEBYTECODE": os.Getenv("PYTHONDONTWRITEBYTECODE")}
	}
	made := supervise.Command{
		Path: python, Args: []string{"-m", "pdfmill_runner", "--engine", name}, Env: env.List(),
		User: user, Memory: c.workerMemory(name),
	}
	c.confine(&made, name == job.EngineMarker && (c.Marker.LLM != "" || !c.Marker.Offline), l.Device, at.ports())
	if l.Device == "" {
		made.Data = made.Memory
	}
	return made
}

// surroundings are where a worker or a server finds programs, models and folders of its own.
func surroundings(c Config, cache string, user *unprivileged.User) supervise.Environment {
	env := supervise.Environment{Path: os.Getenv("PATH"), Home: cache, Temp: c.Scratch, ModelCache: c.Marker.Folder(cache)}
	if user != nil {
		env.Home, env.Temp = home(cache), temporary(c.Scratch)
	}
	return env
}

// await waits until a worker can take a range, unless none is to start before there is one.
func (e *engine) await(ctx context.Context) error {
	if e.scheduler.Unloaded(e.name) {
		return nil
	}
	return e.pool.WaitReady(ctx)
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

// stop ends workers, then the servers that they ask.
func (e *engine) stop(log *slog.Logger) {
	if err := e.pool.Stop(context.Background()); err != nil {
		log.Warn("workers did not end by themselves", "engine", e.name, "err", err)
	}
	e.servers.stop()
}

// convert has a range converted by any worker. When a server that the worker asks goes away meanwhile, that is nobody's fault here: the range waits until
// the server is back and is done again, without an attempt being spent; unless it happens again and again, which makes the range a suspect.
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
	one := supervise.Job{Priority: priority, Need: supervise.Need{Pages: m.Range.Len(), Megapixels: m.Megapixels, Pressure: pressure}, Request: supervise.Request{
		ID: m.ID, Path: source, Range: m.Range, OutDir: outDir, Total: c.total, Silence: c.silence, Passwords: passwords,
		Options: protocol.Options{Output: m.Options.Output, Images: m.Options.Images, ForceOCR: m.Options.ForceOCR, Mode: m.Mode, Engine: m.Options.EngineOptions},
	}}
	if e.servers == nil {
		return e.pool.Convert(ctx, one)
	}
	for deaths := 1; ; deaths++ {
		try := attempt{servers: e.servers}
		one.Begin = try.begin
		outcome, err := e.pool.Convert(ctx, one)
		gone := try.disturbed(ctx, outcome, err)
		switch {
		case gone == "":
			return outcome, err
		case deaths >= mostDeaths:
			return outcome, failure.New(failure.Crash, "convert", m.ID, fmt.Errorf("server %s went away %d times while it was in work; the last time: %w", gone, deaths, err))
		}
		e.log.Warn("range waits for a server and is done again", "server", gone, "source", m.Source.Path(), "range", m.Range, "err", err)
		if err := empty(outDir); err != nil {
			return outcome, failure.New(failure.Unhealthy, "empty scratch folder", outDir, err)
		}
	}
}

// mostDeaths of servers while the same range was in work may be chance.
const mostDeaths = 3

// empty removes what is in a folder.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}
