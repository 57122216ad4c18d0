package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/term"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
)

type deadReplay struct {
	IDs []string `arg:"" optional:"" name:"ID" help:"Ids of dead letters, as listed."`
	remote
	selection
	All    bool              `help:"Every open one."`
	Again  bool              `help:"Also those that were replayed already."`
	DryRun bool              `help:"Say what would be replayed, and do nothing."`
	Rate   float64           `placeholder:"N" help:"Documents a second at most. Default: no limit."`
	From   string            `enum:"stage,start" default:"stage" help:"stage: go on where it died; start: from the inbox (${default})."`
	Set    map[string]string `placeholder:"NAME=VALUE" help:"Change an option of the document, like engine=text; may be repeated."`
	By     string            `placeholder:"NAME" help:"Who replays; kept with the dead letter. Default: the user's name."`
}

// Help implements kong's help provider.
func (deadReplay) Help() string {
	return `Examples:
  pdfmill dead replay 0a1b2c3d4e5f60718293a4b5c6d7e8f9
  pdfmill dead replay --class timeout --newer 24h --dry-run
  pdfmill dead replay --class engine-missing --set engine=text
  pdfmill dead replay --all --rate 5`
}

// Run replays.
func (c *deadReplay) Run(g *globals, std streams) error {
	if len(c.IDs) == 0 && c.selection.empty() && !c.All {
		return usage(errors.New("which ones?"), "give ids, or --class, --stage and so on, or --all; --dry-run shows what would happen")
	}
	return c.withBox(g, std, func(ctx context.Context, box *deadletter.Box, broker *jet.Broker) error {
		f := c.filter(c.IDs, time.Now())
		if err := f.Validate(); err != nil {
			return usage(err, "")
		}
		var bar *replayBar
		if !g.JSON && term.IsTerminal(int(std.err.Fd())) {
			bar = newReplayBar(std.err)
		}
		report, err := box.Replay(ctx, f, deadletter.Options{
			DryRun: c.DryRun, Rate: c.Rate, From: c.From, Set: c.Set, By: byWhom(c.By), Again: c.Again,
			Make: event.Replay, Publish: broker.Publish,
			Progress: func(s deadletter.Step) { bar.over(s, func(w io.Writer) { c.tell(g, w, s) }, std.out) },
		})
		bar.close()
		if errors.Is(err, context.Canceled) {
			return exit{exitSome, fmt.Errorf("interrupted with %d of %d documents replayed (the same command again goes on with the rest)", report.Replayed, report.Total)}
		}
		if err != nil {
			return err
		}
		return c.sum(g, std, report)
	})
}

func (c *deadReplay) tell(g *globals, out io.Writer, s deadletter.Step) {
	reason := ""
	if s.Err != nil {
		reason = s.Err.Error()
	}
	if g.JSON {
		_ = printJSON(out, map[string]any{ // a reader that is gone wants nothing more
			"id": s.Record.ID, "source": s.Record.Job.Source.Path(), "outcome": s.Outcome, "pass": s.Pass, "reason": reason, "done": s.Done, "total": s.Total,
		})
		return
	}
	if reason != "" {
		reason = ": " + reason
	}
	fmt.Fprintf(out, "%s %s (%s)%s\n", s.Outcome, s.Record.Job.Source.Path(), s.Record.ID, reason)
}

func (c *deadReplay) sum(g *globals, std streams, r deadletter.Report) error {
	switch {
	case r.Selected == 0 && len(c.IDs) > 0:
		return exit{exitSome, errors.New("no dead letter has such an id (list them with: pdfmill dead ls --all)")}
	case !g.JSON:
		verb := "replayed"
		if c.DryRun {
			verb = "would be replayed"
		}
		fmt.Fprintf(std.out, "%d of %d documents %s", r.Replayed, r.Total, verb)
		if r.Already > 0 {
			fmt.Fprintf(std.out, ", %d dead letters were replayed before (--again includes them)", r.Already)
		}
		fmt.Fprintln(std.out)
	}
	if r.Refused > 0 {
		return some()
	}
	return nil
}
