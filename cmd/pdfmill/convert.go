package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/batch"
)

type convertCommand struct {
	Paths []string `arg:"" name:"PATH" help:"PDF files, directories (searched for *.pdf), patterns, or - for standard input."`
	Out   string   `short:"o" required:"" placeholder:"DIR" help:"Directory for Markdown, images and report.json; made if missing."`
	Data  string   `placeholder:"DIR" help:"Keep the pipeline's state here, so that an interrupted run loses no page that was done. Default: a temporary directory."`

	Layout  batch.Layout `enum:"flat,marker" default:"flat" placeholder:"NAME" help:"flat: DIR/<name>.md and DIR/<name>_images/; marker: as the command marker writes it, DIR/<name>/<name>.md, <name>_meta.json, images beside it. (${enum})"`
	Workers int          `default:"0" placeholder:"N" help:"Worker processes; 0: one a core, fewer for a few small documents."`
	Window  int          `default:"0" placeholder:"N" help:"Documents in the pipeline at once; 0: by the workers."`
	options
}

// Help implements kong's help provider.
func (convertCommand) Help() string {
	return `Writes DIR/<name>.md for each document (.json or .html with --output), its images into DIR/<name>_images/, and what became of each one into DIR/report.json. The same
command again converts only what is missing or has changed.

Exit codes: 0 every document was converted, 1 some failed, 2 the command line is wrong, 3 the pipeline itself failed.

Examples:
  pdfmill convert report.pdf -o out
  pdfmill convert scans/ more/*.pdf -o out --workers 4
  curl -s https://example.org/paper.pdf | pdfmill convert - -o out
  pdfmill convert book.pdf -o out --pages 1-20 --json | jq .totals
  pdfmill convert papers/ -o out --layout marker     # for scripts that expect the output of marker`
}

// drainGrace is what documents under way get when a run is interrupted.
const drainGrace = 8 * time.Second

// Run converts.
func (c *convertCommand) Run(g *globals, std streams) error {
	began := time.Now()
	stop, ctx, done := interruptible()
	defer done()
	metadata, all, err := c.options.read()
	if err != nil {
		return usage(err, "see pdfmill convert --help")
	}
	inputs := batch.Expand(c.Paths)
	if err := errors.Join(unusable(inputs), silentStdin(inputs, std)); err != nil {
		return err
	}
	out, data, err := c.directories()
	if err != nil {
		return err
	}
	unlock, err := batch.Lock(out)
	if err != nil {
		return usage(err, "")
	}
	defer unlock()

	log := g.logger(std.err, slog.LevelError)
	works := &works{data: data, workers: c.crew(inputs), engine: all.Engine, log: log, began: began, notices: std.err, tally: &batch.Tally{}}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	works.fail = fail
	report, err := batch.Run(ctx, batch.Request{
		Inputs: inputs, Dir: out, Shown: c.Out, Layout: c.Layout, Options: all, Metadata: metadata, Window: c.window(), Grace: drainGrace, Stop: stop, Stdin: std.in,
		Progress: c.progress(g, std, len(inputs)), Tally: works.tally, Log: log,
	}, works.start)
	works.step("run ended")
	err = errors.Join(err, works.end(err))
	works.step("pipeline ended")
	return c.conclude(g, std, report, err)
}

// directories makes paths absolute before anything changes the working directory, and the output directory usable.
func (c *convertCommand) directories() (out, data string, err error) {
	if out, err = filepath.Abs(c.Out); err != nil {
		return "", "", err
	}
	if c.Data != "" {
		if data, err = filepath.Abs(c.Data); err != nil {
			return "", "", err
		}
	}
	if err := batch.PrepareDir(out); err != nil {
		return "", "", usage(err, "")
	}
	return out, data, nil
}

func (c *convertCommand) window() int {
	if c.Window > 0 {
		return c.Window
	}
	workers := c.Workers
	if workers <= 0 {
		workers = runtime.NumCPU()
	}
	return 16 + 4*workers
}

// manyPages is the size of a file, in bytes, from which it may well have more pages than one worker should have for itself.
const manyPages = 1 << 20

// crew is how many workers to start: as asked for, else as many as the documents can keep busy, or 0, the runner's default, where that is fewer: a worker takes
// as long to start as some hundred pages to convert.
func (c *convertCommand) crew(inputs []batch.Input) int {
	if c.Workers > 0 {
		return c.Workers
	}
	if len(inputs) >= runtime.NumCPU() {
		return 0
	}
	for _, in := range inputs {
		if about, err := os.Stat(in.File); in.Stream || err != nil || about.Size() >= manyPages {
			return 0
		}
	}
	return len(inputs)
}

func (c *convertCommand) progress(g *globals, std streams, documents int) batch.Progress {
	switch {
	case g.JSON:
		return batch.Plain{Out: discard{}, Err: std.err}
	case term.IsTerminal(int(std.out.Fd())):
		return batch.NewBar(std.out, documents)
	}
	return batch.Plain{Out: std.out, Err: std.err}
}

// conclude prints the end of a run and chooses the exit code.
func (c *convertCommand) conclude(g *globals, std streams, report batch.Report, err error) error {
	if g.JSON {
		err = errors.Join(err, printJSON(std.out, report))
	} else if len(report.Documents) > 0 {
		fmt.Fprintf(std.out, "%s; report: %s\n", batch.Summary(report), filepath.Join(c.Out, batch.ReportName))
	}
	switch {
	case err != nil:
		return err
	case report.Totals.Unfinished > 0:
		return exit{exitSome, fmt.Errorf("interrupted with %d documents not done (the same command again continues with them)", report.Totals.Unfinished)}
	case report.Totals.Failed > 0:
		return some()
	}
	return nil
}

// unusable is a usage error when there is nothing at all to work on. One wrong path among good ones is a failed document instead.
func unusable(inputs []batch.Input) error {
	var reasons []string
	for _, in := range inputs {
		if in.Err == nil {
			return nil
		}
		reasons = append(reasons, fmt.Sprintf("%s: %v", in.Path, in.Err))
	}
	if len(reasons) > 5 {
		reasons = append(reasons[:5], fmt.Sprintf("and %d more", len(reasons)-5))
	}
	return usage(errors.New(strings.Join(reasons, "; ")), "give PDF files, or directories that hold some")
}

// silentStdin is a usage error when standard input is to be converted and is a person's terminal.
func silentStdin(inputs []batch.Input, std streams) error {
	for _, in := range inputs {
		if in.Path == batch.Stdin && term.IsTerminal(int(std.in.Fd())) {
			return usage(errors.New("-: nothing is piped into standard input"), "for example: pdfmill convert - -o out < report.pdf")
		}
	}
	return nil
}

// discard swallows what is written.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
