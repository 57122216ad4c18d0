package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/batch"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
)

type watchCommand struct {
	remote
	All bool `help:"Also the events that are kept from before."`
}

// Help implements kong's help provider.
func (watchCommand) Help() string {
	return `Examples:
  pdfmill watch                       events of the pipeline with data directory ./pdfmill-data
  pdfmill watch --all --json          everything kept, one JSON object a line
  pdfmill watch --nats-url nats://nats.example.org:4222 --nats-user reader`
}

// Run prints events until it is interrupted.
func (c *watchCommand) Run(g *globals, std streams) error {
	stop, ctx, done := interruptible()
	defer done()
	log := g.logger(std.err, slog.LevelError)
	e, err := c.endpoints()
	if err != nil {
		return err
	}
	broker, err := c.broker(ctx, e, log)
	if err != nil {
		return err
	}
	defer broker.Close()
	return broker.Watch(untilStop(ctx, stop), c.All, func() {}, func(a jet.Announcement) error {
		if g.JSON {
			return printJSON(std.out, struct {
				ID       string    `json:"id"`
				Subject  string    `json:"subject"`
				Sequence uint64    `json:"sequence"`
				Time     time.Time `json:"time"`
				Data     any       `json:"data"`
			}{a.ID, a.Subject, a.Sequence, a.Time, a.Raw})
		}
		return printEvent(std.out, a)
	})
}

func printEvent(w io.Writer, a jet.Announcement) error {
	at := a.Time.Local().Format(time.DateTime)
	if a.Converted != nil {
		return printConverted(w, at, a.Converted)
	}
	_, err := fmt.Fprintf(w, "%s  failed     %s  %s: %s\n", at, a.Failed.Source.Path(), a.Failed.Class, a.Failed.Message)
	return err
}

func printConverted(w io.Writer, at string, c *event.Converted) error {
	note := ""
	switch {
	case c.Cached:
		note = ", known already"
	case !c.Complete:
		note = ", " + batch.Plural(c.Pages-c.ConvertedPages, "page") + " missing"
	}
	_, err := fmt.Fprintf(w, "%s  converted  %s  %s, %.1f s%s → %s/%s\n",
		at, c.Source.Path(), batch.Plural(c.Pages, "page"), c.Timings.Total, note, c.Markdown.Bucket, c.Markdown.Key)
	return err
}
