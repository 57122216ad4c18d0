package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/doctor"
	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/endpoints"
	"github.com/pdfmill/pdfmill/pipeline/config"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

type doctorCommand struct {
	remote
	environment
}

// Help implements kong's help provider.
func (doctorCommand) Help() string {
	return `When a pipeline runs on the data directory, or --nats-url names one, it is checked as well: a message goes through NATS and back, an object
through the store and back. Otherwise the same round trips go through a pipeline that lives as long as the check.

Exit codes: 0 everything is well, 1 something is not, 2 the command line is wrong.

Examples:
  pdfmill doctor
  pdfmill doctor --data /var/lib/pdfmill --json`
}

// Run runs every check, whatever the others find.
func (c *doctorCommand) Run(g *globals, std streams) error {
	stop, ctx, done := interruptible()
	defer done()
	ctx = untilStop(ctx, stop)
	checks, err := c.checks(g, std)
	if err != nil {
		return err
	}
	bad := false
	table := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	for _, check := range checks {
		limited, cancel := context.WithTimeout(ctx, check.Limit)
		r := check.Run(limited)
		cancel()
		bad = bad || r.Outcome == doctor.Bad
		if g.JSON {
			if err := printJSON(std.out, r); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", r.Outcome, r.Check, r.Detail)
		if r.Advice != "" {
			fmt.Fprintf(table, "\t\t→ %s\n", r.Advice)
		}
		if err := table.Flush(); err != nil { // one after the other: some take a while
			return err
		}
	}
	if ctx.Err() != nil {
		return exit{exitSome, errors.New("interrupted")}
	}
	if bad {
		return some()
	}
	return nil
}

func (c *doctorCommand) checks(g *globals, std streams) ([]doctor.Check, error) {
	data, err := filepath.Abs(c.Data)
	if err != nil {
		return nil, err
	}
	cache, err := config.CacheDir(c.Cache)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file: %w", err)
	}
	log := g.logger(std.err, slog.LevelError)
	checks := []doctor.Check{
		doctor.System(),
		doctor.Python(c.Python),
		doctor.Engines(func(ctx context.Context) (string, error) {
			env, err := c.ensure(ctx, "", time.Time{}, std.err, log)
			if err != nil {
				return "", err
			}
			return doctor.Available(env.Engines), nil
		}),
		doctor.Sandbox([]string{self, "probe"}, cache),
		doctor.Disk("data directory", data, 1<<30), doctor.Disk("cache", cache, 1<<30), doctor.Disk("temporary folder", os.TempDir(), 1<<30),
		doctor.OpenFiles(1024), doctor.Memory(1 << 30), doctor.Isolation(supervise.Isolation),
	}
	e, err := c.endpoints()
	switch {
	case err == nil:
		connect := func(ctx context.Context) (*jet.Broker, error) { return c.broker(ctx, e, log) }
		return append(checks, doctor.Pipeline(e, connect, func() (*object.S3, error) { return c.store(e) })...), nil
	case errors.Is(err, endpoints.ErrNone):
		return append(checks, doctor.Ports("127.0.0.1:4222", "127.0.0.1:9000", "127.0.0.1:8080"), doctor.Own(log)), nil
	}
	return nil, err
}
