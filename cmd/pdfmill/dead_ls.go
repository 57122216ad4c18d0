package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/jet"
)

type deadLs struct {
	remote
	selection
	All   bool `help:"Also those that were replayed since."`
	Group bool `help:"Count by stage, class and cause, instead of listing each."`
}

// Help implements kong's help provider.
func (deadLs) Help() string {
	return `Examples:
  pdfmill dead ls                     what is open
  pdfmill dead ls --group             how many of which kind
  pdfmill dead ls --class pdf-encrypted --newer 24h --json`
}

// Run lists dead letters.
func (c *deadLs) Run(g *globals, std streams) error {
	return c.withBox(g, std, func(ctx context.Context, box *deadletter.Box, _ *jet.Broker) error {
		f := c.filter(nil, time.Now())
		f.Replayed = c.All
		if err := f.Validate(); err != nil {
			return usage(err, "")
		}
		if c.Group {
			return listGroups(ctx, g, std.out, box, f)
		}
		return listDead(ctx, g, std.out, box, f)
	})
}

func listGroups(ctx context.Context, g *globals, out io.Writer, box *deadletter.Box, f deadletter.Filter) error {
	groups, err := box.Groups(ctx, f)
	if err != nil {
		return err
	}
	for _, group := range groups {
		if g.JSON {
			err = printJSON(out, group)
		} else {
			_, err = fmt.Fprintf(out, "%s (%d open; for example %s)\n", group, group.Open, group.Example)
		}
		if err != nil {
			return err
		}
	}
	return nothing(g, out, len(groups))
}

func listDead(ctx context.Context, g *globals, out io.Writer, box *deadletter.Box, f deadletter.Filter) error {
	table, n := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0), 0
	for e, err := range box.List(ctx, f) {
		if err != nil {
			return err
		}
		if n++; g.JSON {
			if err := printJSON(out, e); err != nil {
				return err
			}
			continue
		}
		if n == 1 {
			fmt.Fprintln(table, "ID\tDIED\tSTAGE\tCLASS\tSOURCE\tPAGES\tMESSAGE")
		}
		pages := ""
		if e.PageRange != nil {
			pages = e.PageRange.String()
		}
		message := e.Message
		if e.Replayed {
			message = fmt.Sprintf("(replayed %s) %s", e.ReplayedAt.Local().Format(time.DateTime), message)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.DiedAt.Local().Format(time.DateTime), e.Stage, e.Class, e.Job.Source.Path(), pages, message)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return nothing(g, out, n)
}

func nothing(g *globals, out io.Writer, n int) error {
	if n > 0 || g.JSON {
		return nil
	}
	_, err := fmt.Fprintln(out, "No dead letters.")
	return err
}

type deadShow struct {
	ID string `arg:"" help:"Id of the dead letter, as listed."`
	remote
}

// Help implements kong's help provider.
func (deadShow) Help() string {
	return `Examples:
  pdfmill dead show 0a1b2c3d4e5f60718293a4b5c6d7e8f9`
}

// Run shows one dead letter.
func (c *deadShow) Run(g *globals, std streams) error {
	return c.withBox(g, std, func(ctx context.Context, box *deadletter.Box, _ *jet.Broker) error {
		e, err := box.Get(ctx, c.ID)
		if errors.Is(err, deadletter.ErrNotFound) {
			return exit{exitSome, fmt.Errorf("%w (list them with: pdfmill dead ls --all)", err)}
		}
		if err != nil {
			return err
		}
		if g.JSON {
			return printJSON(std.out, e)
		}
		return printDead(std.out, e)
	})
}

func printDead(w io.Writer, e deadletter.Entry) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, value)
		}
	}
	row("id", e.ID)
	row("class", string(e.Class))
	row("message", e.Message)
	row("source", e.Job.Source.Path())
	if e.PageRange != nil {
		row("pages", e.PageRange.String())
	}
	row("stage", e.Stage)
	row("job", e.Job.ID)
	row("correlation id", e.Job.CorrelationID)
	row("attempts", fmt.Sprint(e.Attempts))
	row("first attempt", e.FirstAttempt.Local().Format(time.DateTime))
	row("died", e.DiedAt.Local().Format(time.DateTime))
	row("host", e.Host)
	row("version", e.Version)
	if options, err := json.Marshal(e.Job.Options); err == nil {
		row("options", string(options))
	}
	for i, link := range e.Chain {
		row(map[bool]string{true: "error chain"}[i == 0], link)
		if i > 0 {
			fmt.Fprintf(table, "\t%s\n", link)
		}
	}
	row("left out", strings.Join(e.Cut, ", "))
	if e.Replayed {
		row("replayed", fmt.Sprintf("%s by %s, %d times", e.ReplayedAt.Local().Format(time.DateTime), e.By, e.Count))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if e.Detail != "" {
		fmt.Fprintf(w, "\n%s\n", e.Detail)
	}
	_, err := fmt.Fprintf(w, "\nReplay it with: pdfmill dead replay %s\n", e.ID)
	return err
}
