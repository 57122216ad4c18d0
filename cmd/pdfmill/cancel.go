package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
)

type cancelCommand struct {
	Jobs []string `arg:"" name:"JOB" help:"Job ids as listed by status, or beginnings of at least 8 digits; or sources, as bucket/key."`
	remote
	By string `placeholder:"NAME" help:"Who cancels; told in the event. Default: the user's name."`
}

// Help implements kong's help provider.
func (cancelCommand) Help() string {
	return `Whatever of a job is queued, running or waiting for a retry stops, within seconds; it ends in one pdf.failed of class cancelled. What is converted
already stays. A cancelled job can be replayed: pdfmill dead replay --class cancelled --job JOB

Examples:
  pdfmill cancel 3f2a91c04d5e6f70
  pdfmill cancel inbox/book.pdf`
}

// leastPrefix is the shortest beginning of a job's id that names it: a slip of the finger shall not cancel everything.
const leastPrefix = 8

// Run cancels.
func (c *cancelCommand) Run(g *globals, std streams) error {
	for _, name := range c.Jobs {
		if !strings.Contains(name, "/") && len(name) < leastPrefix {
			return usage(fmt.Errorf("job %q is too short to be sure", name), fmt.Sprintf("give at least %d digits of its id", leastPrefix))
		}
	}
	return c.withBroker(g, std, func(ctx context.Context, broker *jet.Broker) error {
		ended, err := broker.Cancel(ctx, byWhom(c.By), c.means)
		for _, j := range ended {
			if g.JSON {
				err = errors.Join(err, printJSON(std.out, map[string]any{"job": j.ID, "drop": j.Drop, "pass": j.Pass, "source": j.Source.Path()}))
			} else {
				fmt.Fprintf(std.out, "cancelled %s %s\n", j.ID, j.Source.Path())
			}
		}
		if err == nil && len(ended) == 0 {
			return exit{exitSome, errors.New("nothing of that is queued or running (pdfmill status JOB says where it is)")}
		}
		return err
	})
}

// means reports whether a job is one of those to cancel.
func (c *cancelCommand) means(j job.Job) bool {
	for _, name := range c.Jobs {
		if strings.HasPrefix(j.ID, name) || name == j.Source.Path() {
			return true
		}
	}
	return false
}

// withBroker calls do with a connection to the pipeline.
func (r remote) withBroker(g *globals, std streams, do func(context.Context, *jet.Broker) error) error {
	stop, ctx, done := interruptible()
	defer done()
	ctx = untilStop(ctx, stop)
	e, err := r.endpoints()
	if err != nil {
		return err
	}
	broker, err := r.broker(ctx, e, g.logger(std.err, slog.LevelError))
	if err != nil {
		return err
	}
	defer broker.Close()
	return do(ctx, broker)
}
