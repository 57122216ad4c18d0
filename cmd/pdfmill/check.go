package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/batch"
	"github.com/pdfmill/pdfmill/pipeline/config"
	"github.com/pdfmill/pdfmill/services/validator"
	"github.com/pdfmill/pdfmill/services/validator/sandbox"
)

type checkCommand struct {
	Paths         []string         `arg:"" name:"FILE" help:"PDF files; directories are searched for *.pdf."`
	MaxRangePages int              `name:"max-range-pages" env:"PDFMILL_MAX_RANGE_PAGES" default:"32" placeholder:"N" help:"Pages in one range at most (${default})."`
	Cache         string           `env:"PDFMILL_CACHE" type:"path" placeholder:"DIR" help:"Folder for compiled code. Default: pdfmill in the user's cache folder."`
	Limits        validator.Limits `embed:"" group:"Limits:"`
}

// Help implements kong's help provider.
func (checkCommand) Help() string {
	return `Nothing is converted or stored, and nothing is sent anywhere. --json prints one object a line, with what is known of the document and how it
would be cut into page ranges.

Exit codes: 0 every file would be accepted, 1 some would be refused, 2 the command line is wrong, 3 the check itself failed.

Examples:
  pdfmill check report.pdf
  pdfmill check inbox/ --json | jq -r 'select(.verdict == "refused") | .input + ": " + .message'`
}

// Run inspects files one after the other.
func (c *checkCommand) Run(g *globals, std streams) error {
	stop, ctx, done := interruptible()
	defer done()
	ctx = untilStop(ctx, stop)
	inspector, err := c.inspector(g.logger(std.err, slog.LevelError))
	if err != nil {
		return err
	}
	defer inspector.Close()
	inputs := batch.Expand(c.Paths)
	if err := unusable(inputs); err != nil {
		return err
	}
	refused := false
	for _, in := range inputs {
		r, err := c.one(ctx, inspector, in)
		if err != nil {
			return err
		}
		refused = refused || r.Verdict != validator.VerdictOK
		if g.JSON {
			err = printJSON(std.out, r)
		} else {
			err = printVerdict(std.out, r)
		}
		if err != nil {
			return err
		}
	}
	if refused {
		return some()
	}
	return nil
}

func (c *checkCommand) inspector(log *slog.Logger) (*validator.Inspector, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file, which the sandbox is started from: %w", err)
	}
	cache, err := config.CacheDir(c.Cache)
	if err != nil {
		return nil, err
	}
	i, err := validator.NewInspector(sandbox.Config{Command: []string{self, "probe"}, CacheDir: sandbox.CacheDir(cache), Probes: runtime.NumCPU()}, c.Limits, log)
	if err != nil {
		return nil, usage(err, "")
	}
	return i, nil
}

// one checks a file. The error is about this machine: a file that can't be read is a refusal.
func (c *checkCommand) one(ctx context.Context, inspector *validator.Inspector, in batch.Input) (validator.Report, error) {
	if in.Err != nil {
		return validator.Unreadable(in.Path, in.Err), nil
	}
	path, err := filepath.Abs(in.File)
	if err != nil {
		return validator.Report{}, err
	}
	if file, err := os.Open(path); err != nil {
		return validator.Unreadable(in.Path, err), nil
	} else if err := file.Close(); err != nil {
		return validator.Report{}, err
	}
	r, err := inspector.Check(ctx, path, c.MaxRangePages)
	r.Input = in.Path
	return r, err
}

func printVerdict(w io.Writer, r validator.Report) error {
	if r.Verdict != validator.VerdictOK {
		_, err := fmt.Fprintf(w, "refused  %s  %s: %s\n", r.Input, r.Class, r.Message)
		return err
	}
	var notes []string
	if r.Facts.Version != "" {
		notes = append(notes, "PDF "+r.Facts.Version)
	}
	if n := len(r.Facts.Unloadable); n > 0 {
		notes = append(notes, fmt.Sprintf("%d pages can't be loaded", r.Facts.Pages-r.Facts.LoadablePages))
	}
	if r.Facts.Security > 0 {
		notes = append(notes, "encrypted with an empty password")
	}
	notes = append(notes, fmt.Sprintf("%d ranges", len(r.Plan)))
	_, err := fmt.Fprintf(w, "ok       %s  %d pages (%s)\n", r.Input, r.Pages, strings.Join(notes, ", "))
	return err
}
