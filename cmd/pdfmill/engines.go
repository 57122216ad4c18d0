package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/config"
	gpurunner "github.com/pdfmill/pdfmill/services/gpu-runner"
	"github.com/pdfmill/pdfmill/services/gpu-runner/pyenv"
)

type enginesCommand struct {
	Ls      enginesLs      `cmd:"" help:"List the engines that are there, and those that could be."`
	Install enginesInstall `cmd:"" help:"Show what an engine takes and under which terms, and install it."`
	Test    enginesTry     `cmd:"" help:"Start a worker, probe it and convert a page."`
}

// environment says which Python environment is meant.
type environment struct {
	Cache  string `env:"PDFMILL_CACHE" type:"path" placeholder:"DIR" help:"Folder of the Python environment and models. Default: pdfmill in the user's cache folder."`
	Models string `env:"PDFMILL_MODELS" type:"path" placeholder:"DIR" help:"Folder of weights. Default: models, below the cache folder."`
	Python string `env:"PDFMILL_PYTHON" placeholder:"FILE" help:"Python interpreter to build the environment with. Default: python3 from PATH."`
}

// ensure returns the environment, made if need be, or if it was made before it was suspected, with each step told to notices.
func (e environment) ensure(ctx context.Context, extra string, suspect time.Time, notices io.Writer, log *slog.Logger) (pyenv.Env, error) {
	cache, err := config.CacheDir(e.Cache)
	if err != nil {
		return pyenv.Env{}, err
	}
	return pyenv.Ensure(ctx, pyenv.Config{Dir: cache, Python: e.Python, Extra: extra, Suspect: suspect, Log: log, Progress: preparing(notices)})
}

// missing says why an extra is not installed; "": it is.
func (e environment) missing(extra string) string {
	cache, err := config.CacheDir(e.Cache)
	if err != nil {
		return err.Error()
	}
	return pyenv.Missing(pyenv.Config{Dir: cache, Python: e.Python, Extra: extra})
}

// weights looks after those of an environment.
func (e environment) weights(env pyenv.Env) weights {
	return weights{python: env.Python, models: gpurunner.MarkerConfig{Models: e.Models}.Folder(filepath.Dir(env.Dir))}
}

// preparing tells a person what keeps them waiting at the first start: that it begins, what is downloaded, which may be gigabytes, and when it nears its end.
// All that installers say is in the log, at level debug.
func preparing(notices io.Writer) func(step, detail string) {
	var begun, unreachable sync.Once
	return func(step, detail string) {
		begun.Do(func() { fmt.Fprintln(notices, "preparing the Python environment, which is done once") })
		detail = strings.TrimSpace(detail)
		download, downloads := strings.CutPrefix(detail, "Downloading ")
		switch {
		case step == pyenv.StepWaiting, step == pyenv.StepVerifying:
			fmt.Fprintln(notices, " ", detail)
		case step == pyenv.StepInstalling && downloads:
			fmt.Fprintln(notices, "  downloading", download)
		case step == pyenv.StepInstalling && strings.Contains(detail, "Retrying"): // pip's word for it, which it says for a minute
			unreachable.Do(func() { fmt.Fprintln(notices, "  the package index doesn't answer: trying again") })
		}
	}
}

type enginesLs struct{ environment }

// Help implements kong's help provider.
func (enginesLs) Help() string {
	return `Examples:
  pdfmill engines ls
  pdfmill engines ls --json | jq -r 'select(.engine.available) | .name'`
}

// Run lists engines.
func (c *enginesLs) Run(g *globals, std streams) error {
	stop, ctx, done := interruptible()
	defer done()
	all, err := c.each(untilStop(ctx, stop), std.err, g.logger(std.err, slog.LevelError))
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	if !g.JSON {
		fmt.Fprintln(table, "ENGINE\tAVAILABLE\tAUTO\tFORMATS\tWEIGHTS\tVERSIONS OR REASON")
	}
	for _, one := range all {
		if g.JSON {
			if err := printJSON(std.out, one); err != nil {
				return err
			}
			continue
		}
		e := one.Engine
		about := e.Reason
		for _, name := range slices.Sorted(maps.Keys(e.Versions)) {
			about = strings.TrimPrefix(about+", "+name+" "+e.Versions[name], ", ")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", one.Name, yesNo(e.Available), yesNo(e.Auto), strings.Join(e.Formats, " "), inWords(one.Weights), about)
	}
	return table.Flush()
}

// inWords says which weights are there.
func inWords(states []weightsState) string {
	var there, missing []string
	for _, s := range states {
		role := s.Role
		if s.Server != "" {
			role += " for " + s.Server
		}
		switch {
		case s.Status == weightsThere && s.Verified:
			there = append(there, role)
		case s.Status == weightsThere:
			there = append(there, role+" (not verified)")
		default:
			missing = append(missing, s.Status+": "+role)
		}
	}
	return strings.Join(append(there, missing...), ", ")
}

func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}
