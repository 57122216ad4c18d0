package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/jet"
)

type deadDrop struct {
	IDs []string `arg:"" optional:"" name:"ID" help:"Ids of dead letters, as listed."`
	remote
	selection
	All bool `help:"Every one, replayed or not."`
	Yes bool `short:"y" help:"Do not ask."`
}

// Help implements kong's help provider.
func (deadDrop) Help() string {
	return `The document's source stays in its bucket; only the record of the failure goes, and with it the way to replay it. Asks before it does anything, and
needs --yes where there is nobody to ask.

Examples:
  pdfmill dead drop 0a1b2c3d4e5f60718293a4b5c6d7e8f9
  pdfmill dead drop --class not-pdf --older 720h --yes`
}

// Run drops dead letters.
func (c *deadDrop) Run(g *globals, std streams) error {
	if len(c.IDs) == 0 && c.selection.empty() && !c.All {
		return usage(errors.New("which ones?"), "give ids, or --class, --stage and so on, or --all")
	}
	return c.withBox(g, std, func(ctx context.Context, box *deadletter.Box, _ *jet.Broker) error {
		f := c.filter(c.IDs, time.Now())
		f.Replayed = true
		if err := f.Validate(); err != nil {
			return usage(err, "")
		}
		ids := c.IDs
		if len(ids) == 0 {
			for e, err := range box.List(ctx, f) {
				if err != nil {
					return err
				}
				ids = append(ids, e.ID)
			}
		}
		if sure, err := c.sure(std, len(ids)); !sure {
			return err
		}
		n, err := box.Drop(ctx, ids...)
		if g.JSON {
			err = errors.Join(err, printJSON(std.out, map[string]int{"dropped": n}))
		} else {
			fmt.Fprintf(std.out, "%d dropped\n", n)
		}
		if errors.Is(err, deadletter.ErrNotFound) {
			return exit{exitSome, fmt.Errorf("%w (list them with: pdfmill dead ls --all)", err)}
		}
		return err
	})
}

// sure asks whether so many dead letters shall go for good.
func (c *deadDrop) sure(std streams, n int) (bool, error) {
	if c.Yes || n == 0 {
		return true, nil
	}
	if !term.IsTerminal(int(std.in.Fd())) {
		return false, usage(fmt.Errorf("%d dead letters would be removed for good, and there is nobody to ask", n), "add --yes")
	}
	fmt.Fprintf(std.err, "Remove %d dead letters for good? They can't be replayed then. [y/N] ", n)
	line, err := bufio.NewReader(std.in).ReadString('\n')
	if err != nil {
		return false, exit{exitSome, errors.New("nothing was dropped")}
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return false, exit{exitSome, errors.New("nothing was dropped")}
	}
	return true, nil
}
