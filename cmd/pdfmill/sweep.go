package main

import (
	"context"
	"fmt"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/retention"
)

type sweepCommand struct {
	remote
	RangesAge  time.Duration `default:"168h" placeholder:"AGE" help:"Results of page ranges go when they are this old (${default}; at least 1h; 0 keeps them). They only serve other drops of the same document."`
	SourcesAge time.Duration `default:"720h" placeholder:"AGE" help:"Copies of accepted documents go when they are this old (${default}; at least 1h; 0 keeps them). Without them a document can't be converted again."`
	DryRun     bool          `help:"Say what would go, and remove nothing."`
}

// Help implements kong's help provider.
func (sweepCommand) Help() string {
	return `What a queued, running or dead document needs stays, whatever its age; so do all products. Safe while the pipeline runs.

Examples:
  pdfmill sweep --dry-run
  pdfmill sweep --ranges-age 24h --sources-age 0`
}

// Run sweeps.
func (c *sweepCommand) Run(g *globals, std streams) error {
	e, err := c.endpoints()
	if err != nil {
		return err
	}
	store, err := c.operatorStore(e)
	if err != nil {
		return usage(err, "")
	}
	defer store.Close()
	return c.withBox(g, std, func(ctx context.Context, box *deadletter.Box, broker *jet.Broker) error {
		report, err := retention.Sweep(ctx, store, broker, box, retention.Config{
			Bucket: e.Bucket, RangesAge: c.RangesAge, SourcesAge: c.SourcesAge, DryRun: c.DryRun,
			Removed: func(key string, size int64) {
				if c.DryRun && !g.JSON {
					fmt.Fprintf(std.out, "%s (%d bytes)\n", key, size)
				}
			},
		})
		if err != nil {
			return err
		}
		if g.JSON {
			return printJSON(std.out, report)
		}
		verb := "removed"
		if c.DryRun {
			verb = "would be removed"
		}
		_, err = fmt.Fprintf(std.out, "%d objects with %d bytes %s: results of %d jobs, %d sources; %d old ones are still needed\n",
			report.Objects, report.Bytes, verb, report.Jobs, report.Sources, report.Live)
		return err
	})
}
