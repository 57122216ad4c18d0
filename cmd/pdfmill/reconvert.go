package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

type reconvertCommand struct {
	remote
	Where  map[string]string `placeholder:"NAME=VALUE" required:"" help:"Which documents; may be repeated, all must be met: engine, engine-version (!VERSION for all others), class, degraded=yes, source (a prefix of bucket/key), newer, older (ages, like 24h)."`
	DryRun bool              `help:"Say what would be converted again, and do nothing."`
	Rate   float64           `placeholder:"N" help:"Documents a second at most. Default: no limit."`
	Set    map[string]string `placeholder:"NAME=VALUE" help:"Change an option of the documents, like engine=marker; may be repeated."`
	By     string            `placeholder:"NAME" help:"Who asks; kept with the document's passes. Default: the user's name."`
}

// Help implements kong's help provider.
func (reconvertCommand) Help() string {
	return `Converts documents again that have ended, with nothing taken from the cache; their last end decides whether they are meant. Each gets another revision and
another event; earlier revisions stay. Safe to interrupt, and to run again.

Examples:
  pdfmill reconvert --where engine=marker --where engine-version=!2.1.0 --dry-run
  pdfmill reconvert --where degraded=yes --where newer=168h --rate 2
  pdfmill reconvert --where class=timeout --where source=inbox/books/ --set timeout=30m`
}

// Run converts again.
func (c *reconvertCommand) Run(g *globals, std streams) error {
	where, err := whereOf(c.Where, time.Now())
	if err != nil {
		return usage(err, "see pdfmill reconvert --help")
	}
	e, err := c.endpoints()
	if err != nil {
		return err
	}
	store, err := c.operatorStore(e)
	if err != nil {
		return usage(err, "")
	}
	defer store.Close()
	refused, total := 0, 0
	return c.withBroker(g, std, func(ctx context.Context, broker *jet.Broker) error {
		n, err := broker.Reconvert(ctx, where, jet.ReconvertOptions{
			DryRun: c.DryRun, Rate: c.Rate, Set: c.Set, By: byWhom(c.By),
			Exists: func(ctx context.Context, s document.Source) (bool, error) {
				_, err := store.Stat(ctx, e.Bucket, s.ObjectKey())
				if errors.Is(err, object.ErrNotFound) {
					return false, nil
				}
				return err == nil, err
			},
			Progress: func(s jet.ReconvertStep) {
				reason := ""
				if total = s.Total; s.Err != nil {
					refused++
					reason = s.Err.Error()
				}
				if g.JSON {
					_ = printJSON(std.out, map[string]any{ // a reader that is gone wants nothing more
						"job": s.Job, "source": s.Source, "outcome": s.Outcome, "reason": reason, "done": s.Done, "total": s.Total,
					})
					return
				}
				fmt.Fprintf(std.out, "%s %s %s\n", s.Outcome, s.Source, reason)
			},
		})
		if errors.Is(err, context.Canceled) {
			return exit{exitSome, fmt.Errorf("interrupted with %d of %d documents sent (the same command again goes on with the rest)", n, total)}
		}
		if err != nil {
			return err
		}
		if !g.JSON {
			verb := "are converted again"
			if c.DryRun {
				verb = "would be converted again"
			}
			fmt.Fprintf(std.out, "%d of %d documents %s\n", n, total, verb)
		}
		if refused > 0 {
			return some()
		}
		return nil
	})
}

// whereOf reads the conditions; every fault is reported.
func whereOf(conditions map[string]string, now time.Time) (w jet.Where, err error) {
	var faults []error
	fail := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, name := range sortedKeys(conditions) {
		value := conditions[name]
		switch name {
		case "engine":
			w.Engine = value
		case "engine-version":
			w.Version = value
		case "class":
			if w.Class = failure.Class(value); !w.Class.Valid() {
				fail("class %q is none (docs/operations.md lists them)", value)
			}
		case "degraded":
			if w.Degraded, err = strconv.ParseBool(map[string]string{"yes": "true", "no": "false"}[value]); err != nil {
				fail("degraded is %q, want yes or no", value)
			}
		case "source":
			w.Source = value
		case "newer", "older":
			age, err := time.ParseDuration(value)
			if err != nil {
				fail("%s is %q, want an age like 24h", name, value)
			}
			if name == "newer" {
				w.Since = now.Add(-age)
			} else {
				w.Until = now.Add(-age)
			}
		default:
			fail("unknown condition %q: known are engine, engine-version, class, degraded, source, newer, older", name)
		}
	}
	return w, errors.Join(faults...)
}
