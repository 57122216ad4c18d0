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

	"golang.org/x/term"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/catalogue"
	"github.com/pdfmill/pdfmill/services/gpu-runner/pyenv"
)

type enginesInstall struct {
	environment
	Name string `arg:"" help:"text, ocr, marker (2.x, Apache-2.0), or marker1 (1.10.x, GPL)."`
	Yes  bool   `short:"y" help:"I have read the terms: don't ask."`
}

// Help implements kong's help provider.
func (enginesInstall) Help() string {
	return `Sizes, and the licences of code and weights, are shown before anything is fetched; without --yes you are asked. Each engine gets an environment of its
own below the cache folder, so that both generations of marker can be there at once. Only packages are installed here: docs/engines.md says where the
weights must lie.

Examples:
  pdfmill engines install ocr
  pdfmill engines install marker
  pdfmill engines install marker1 --yes`
}

// Run shows the terms, asks, and installs.
func (c *enginesInstall) Run(g *globals, std streams) error {
	entry, err := catalogue.Find(c.Name)
	if err != nil {
		return usage(err, "pdfmill engines ls")
	}
	fmt.Fprint(std.err, entry.Conditions())
	if !c.Yes {
		if err := agree(os.Stdin, std.err); err != nil {
			return err
		}
	}
	stop, ctx, done := interruptible()
	defer done()
	env, err := c.ensure(untilStop(ctx, stop), entry.Extra, std.err, g.logger(std.err, slog.LevelError))
	if err != nil {
		return err
	}
	for _, e := range env.Engines {
		if e.Name != entry.Engine {
			continue
		}
		if g.JSON {
			return printJSON(std.out, installed{Name: entry.Name, Engine: e, Python: env.Python})
		}
		if !e.Available {
			return fmt.Errorf("%s is installed, but can't run: %s", entry.Name, e.Reason)
		}
		fmt.Fprintf(std.out, "%s is installed: %s\n", entry.Name, env.Dir)
	}
	return nil
}

// installed is what --json tells of an engine that is there.
type installed struct {
	Name   string       `json:"name"`
	Python string       `json:"python"`
	Engine pyenv.Engine `json:"engine"`
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
		if entry.Extra != "" && !e.there(entry.Extra) {
			continue
		}
		env, err := e.ensure(ctx, entry.Extra, notices, log)
		if err != nil {
			return nil, err
		}
		for _, engine := range env.Engines {
			switch {
			case entry.Extra == "" && !catalogue.Apart(engine.Name):
				all = append(all, installed{Name: engine.Name, Python: env.Python, Engine: engine})
			case entry.Extra != "" && engine.Name == entry.Engine:
				all = append(all, installed{Name: entry.Name, Python: env.Python, Engine: engine})
			}
		}
		seen[entry.Name] = true
	}
	for _, entry := range catalogue.All() {
		if !seen[entry.Name] {
			why := fmt.Sprintf("not installed (%s, code %s): pdfmill engines install %s", entry.Disk, entry.Code, entry.Name)
			all = append(all, installed{Name: entry.Name, Engine: pyenv.Engine{Name: entry.Engine, Reason: why}})
		}
	}
	return all, nil
}
