package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/catalogue"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/gpu-runner/pyenv"
)

type enginesInstall struct {
	environment
	Name    string `arg:"" help:"text, ocr, marker (2.x, Apache-2.0), or marker1 (1.10.x, GPL)."`
	Yes     bool   `short:"y" help:"I have read the terms: don't ask."`
	VLM     string `name:"vlm" enum:"vllm,llamacpp,none" default:"vllm" help:"Who will serve marker 2.x's vision language model here, which decides on its weights: vllm, llamacpp, or none (it runs elsewhere, or not at all)."`
	Weights bool   `default:"true" negatable:"" help:"Fetch weights too."`
	Offline bool   `xor:"how" help:"Don't touch the network: only see whether everything is there, and whole."`
	Repair  bool   `xor:"how" help:"Make the Python environment anew: something in it is broken. Its packages are fetched again, weights are kept."`
}

// Help implements kong's help provider.
func (enginesInstall) Help() string {
	return `Sizes, and the licences of code and weights, are shown before anything is fetched; without --yes you are asked. Each engine gets an environment of its
own below the cache folder, so that both generations of marker can be there at once. Weights go to the folder "models" below it. A fetch that was cut off goes
on where it was; what is there is verified, and fetched again if it is damaged. HF_ENDPOINT and S3_BASE_URL name mirrors, HF_TOKEN a token for the hub.
For a machine without network, install on another one and copy the cache folder.

Examples:
  pdfmill engines install ocr
  pdfmill engines install marker
  pdfmill engines install marker --vlm llamacpp
  pdfmill engines install marker1 --yes
  pdfmill engines install marker --offline       is all there?
  pdfmill engines install marker --repair        it is there, and does not run`
}

// Run shows the terms, asks, and installs.
func (c *enginesInstall) Run(g *globals, std streams) error {
	entry, err := catalogue.Find(c.Name)
	if err != nil {
		return usage(err, "pdfmill engines ls")
	}
	stop, ctx, done := interruptible()
	defer done()
	ctx = untilStop(ctx, stop)
	var wanted []catalogue.Weights
	if c.Weights {
		wanted = entry.For(c.VLM)
	}
	if !c.Offline {
		fmt.Fprint(std.err, entry.Conditions(wanted, sizes(ctx, wanted)))
		if !c.Yes {
			if err := agree(os.Stdin, std.err); err != nil {
				return err
			}
		}
	} else if why := c.missing(entry.Extra); why != "" {
		return failure.New(failure.EngineMissing, "install offline", entry.Name, errors.New(why)).
			WithHint("install it where there is a network, and copy the cache folder from there")
	}
	var suspect time.Time
	if c.Repair {
		suspect = time.Now()
	}
	env, err := c.ensure(ctx, entry.Extra, suspect, std.err, g.logger(std.err, slog.LevelError))
	if err != nil {
		return err
	}
	w, verified := c.weights(env), true
	if c.Offline {
		verified, err = w.verify(ctx, wanted)
	} else {
		err = w.fetch(ctx, wanted, std.err)
	}
	if err != nil {
		return err
	}
	for _, e := range env.Engines {
		if e.Name != entry.Engine {
			continue
		}
		if g.JSON {
			states, err := w.check(ctx, entry.Fetched())
			if err != nil {
				return err
			}
			return printJSON(std.out, installed{Name: entry.Name, Engine: e, Python: env.Python, Weights: states})
		}
		if !e.Available {
			return fmt.Errorf("%s is installed, but can't run: %s", entry.Name, e.Reason)
		}
		fmt.Fprintf(std.out, "%s is installed: %s\n", entry.Name, env.Dir)
		switch {
		case len(wanted) > 0 && verified:
			fmt.Fprintf(std.out, "its weights are there, and verified: %s\n", w.models)
		case len(wanted) > 0:
			fmt.Fprintf(std.out, "its weights are there; nobody knows what they should be like, since not all were fetched by this command: %s\n", w.models)
		}
	}
	return nil
}

// sizes asks how large weights are, for as long as somebody would wait for that.
func sizes(ctx context.Context, wanted []catalogue.Weights) []catalogue.Size {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return catalogue.Sizes(ctx, wanted)
}

// installed is what --json tells of an engine that is there.
type installed struct {
	Name    string         `json:"name"`
	Python  string         `json:"python"`
	Engine  pyenv.Engine   `json:"engine"`
	Weights []weightsState `json:"weights,omitempty"`
}

// agree asks a person; without one there is no agreement.
func agree(in *os.File, out io.Writer) error {
	if !term.IsTerminal(int(in.Fd())) {
		return usage(errors.New("nobody can be asked about these terms: the input is not a terminal"), "read them, then give --yes")
	}
	fmt.Fprint(out, "Install on these terms? [y/N] ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errors.New("nothing was installed")
	}
	return nil
}

// each returns the environments that are there, the runner's own first, which is made when it is missing.
func (e environment) each(ctx context.Context, notices io.Writer, log *slog.Logger) ([]installed, error) {
	var all []installed
	seen := map[string]bool{}
	for _, entry := range catalogue.All() {
		if entry.Extra != "" && e.missing(entry.Extra) != "" {
			continue
		}
		env, err := e.ensure(ctx, entry.Extra, time.Time{}, notices, log)
		if err != nil {
			return nil, err
		}
		for _, engine := range env.Engines {
			switch {
			case entry.Extra == "" && !catalogue.Apart(engine.Name):
				all = append(all, installed{Name: engine.Name, Python: env.Python, Engine: engine})
			case entry.Extra != "" && engine.Name == entry.Engine:
				states, err := e.weights(env).check(ctx, entry.Fetched())
				if err != nil {
					return nil, err
				}
				all = append(all, installed{Name: entry.Name, Python: env.Python, Engine: engine, Weights: states})
			}
		}
		seen[entry.Name] = true
	}
	for _, entry := range catalogue.All() {
		if !seen[entry.Name] {
			why := fmt.Sprintf("%s (%s, code %s): pdfmill engines install %s", e.missing(entry.Extra), entry.Disk, entry.Code, entry.Name)
			all = append(all, installed{Name: entry.Name, Engine: pyenv.Engine{Name: entry.Engine, Reason: why}})
		}
	}
	return all, nil
}
