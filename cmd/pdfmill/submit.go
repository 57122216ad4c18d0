package main

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"time"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/batch"
)

type submitCommand struct {
	Files []string `arg:"" name:"FILE" help:"PDF files; directories are searched for *.pdf."`
	remote
	options
	Prefix string        `default:"submitted" help:"Beginning of the object keys (${default})."`
	Wait   bool          `help:"Wait until each file is converted or has failed."`
	For    time.Duration `name:"wait-timeout" default:"0s" help:"Longest wait; 0: as long as it takes."`
}

// Help implements kong's help provider.
func (submitCommand) Help() string {
	return `Examples:
  pdfmill submit report.pdf           returns once the pipeline has the file
  pdfmill submit --wait scans/        waits and prints what became of each; exit code 1 if any failed
  pdfmill submit --inbox invoices a.pdf   into another inbox than the first
  pdfmill submit --pages 1-5 --priority interactive book.pdf`
}

// Run drops the files into the inbox.
func (c *submitCommand) Run(g *globals, std streams) error {
	stop, ctx, done := interruptible()
	defer done()
	ctx = untilStop(ctx, stop)
	if c.For > 0 {
		limited, cancel := context.WithTimeout(ctx, c.For)
		defer cancel()
		ctx = limited
	}
	metadata, _, err := c.options.read()
	if err != nil {
		return usage(err, "see pdfmill submit --help")
	}
	files := batch.Expand(c.Files)
	for _, in := range files {
		if in.Path == batch.Stdin || in.Stream {
			return usage(fmt.Errorf("%s: only files can be submitted", in.Path), "pdfmill convert reads pipes")
		}
	}
	if err := unusable(files); err != nil {
		return err
	}
	e, err := c.endpoints()
	if err != nil {
		return err
	}
	s := newSubmission(g, std, metadata)
	for _, in := range files {
		s.plan(in, path.Join(e.InboxPrefix, c.Prefix, path.Base(batch.NewKey(in.Path))))
	}
	store, err := c.store(e)
	if err != nil {
		return usage(err, "")
	}
	defer store.Close()
	s.store, s.inbox = store, e.InboxBucket
	if !c.Wait {
		s.drop(ctx)
		return s.outcome(ctx)
	}
	broker, err := c.broker(ctx, e, g.logger(std.err, slog.LevelError))
	if err != nil {
		return err
	}
	defer broker.Close()
	if err := s.dropAndWait(ctx, broker); err != nil {
		return err
	}
	return s.outcome(ctx)
}
