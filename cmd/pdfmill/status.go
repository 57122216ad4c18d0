package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/jet"
)

type statusCommand struct {
	remote
	Job   string `arg:"" optional:"" help:"Job id, or the beginning of one."`
	Limit int    `default:"20" help:"Jobs listed, the latest first; 0: all."`
}

// Help implements kong's help provider.
func (statusCommand) Help() string {
	return `Examples:
  pdfmill status                      queues, and the latest jobs
  pdfmill status 3f2a                 one job
  pdfmill status --limit 0 --json     everything, for programs`
}

// overview is what status prints without a job.
type overview struct {
	Queues map[string]queue `json:"queues"` // by consumer
	States map[string]int   `json:"states"` // jobs by state
	Dead   uint64           `json:"dead_letters"`
	Jobs   []jet.Status     `json:"jobs"`
}

// queue is how a consumer of the work queue stands.
type queue struct {
	Waiting uint64 `json:"waiting"`
	InWork  int    `json:"in_work"`
}

// Run prints where jobs are.
func (c *statusCommand) Run(g *globals, std streams) error {
	stop, ctx, done := interruptible()
	defer done()
	ctx = untilStop(ctx, stop)
	e, err := c.endpoints()
	if err != nil {
		return err
	}
	broker, err := c.broker(ctx, e, g.logger(std.err, slog.LevelError))
	if err != nil {
		return err
	}
	defer broker.Close()
	if c.Job != "" {
		return c.one(ctx, g, std, broker)
	}
	o, err := c.overview(ctx, broker)
	if err != nil {
		return err
	}
	if g.JSON {
		return printJSON(std.out, o)
	}
	return printOverview(std.out, o)
}

func (c *statusCommand) one(ctx context.Context, g *globals, std streams, broker *jet.Broker) error {
	s, err := broker.ReadStatus(ctx, c.Job)
	if errors.Is(err, jet.ErrNoStatus) {
		s, err = byPrefix(ctx, broker, c.Job)
	}
	if errors.Is(err, jet.ErrNoStatus) {
		return exit{exitSome, fmt.Errorf("%w (list them with: pdfmill status)", err)}
	}
	if err != nil {
		return err
	}
	if g.JSON {
		return printJSON(std.out, s)
	}
	return printStatus(std.out, s)
}

// byPrefix finds the one job whose id begins like this.
func byPrefix(ctx context.Context, broker *jet.Broker, prefix string) (jet.Status, error) {
	var found []jet.Status
	for s, err := range broker.Statuses(ctx) {
		if err != nil {
			return jet.Status{}, err
		}
		if strings.HasPrefix(s.Job, prefix) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return jet.Status{}, fmt.Errorf("job %q: %w", prefix, jet.ErrNoStatus)
	case 1:
		return found[0], nil
	}
	return jet.Status{}, exit{exitUsage, fmt.Errorf("%d jobs begin with %q: give more of the id", len(found), prefix)}
}

func (c *statusCommand) overview(ctx context.Context, broker *jet.Broker) (overview, error) {
	o := overview{Queues: map[string]queue{}, States: map[string]int{}, Jobs: []jet.Status{}}
	jobs, err := broker.JS().Stream(ctx, jet.StreamJobs)
	if err != nil {
		return o, fmt.Errorf("read the work queue: %w", err)
	}
	consumers := jobs.ListConsumers(ctx)
	for info := range consumers.Info() {
		o.Queues[info.Name] = queue{Waiting: info.NumPending, InWork: info.NumAckPending}
	}
	if err := consumers.Err(); err != nil {
		return o, fmt.Errorf("read the work queue: %w", err)
	}
	dead, err := broker.JS().Stream(ctx, jet.StreamDead)
	if err != nil {
		return o, fmt.Errorf("read the dead letters: %w", err)
	}
	o.Dead = dead.CachedInfo().State.Msgs
	for s, err := range broker.Statuses(ctx) {
		if err != nil {
			return o, err
		}
		o.States[s.State]++
		o.Jobs = append(o.Jobs, s)
	}
	slices.SortFunc(o.Jobs, func(a, b jet.Status) int { return b.UpdatedAt.Compare(a.UpdatedAt) })
	if c.Limit > 0 && len(o.Jobs) > c.Limit {
		o.Jobs = o.Jobs[:c.Limit]
	}
	return o, nil
}

func printOverview(w io.Writer, o overview) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "QUEUE\tWAITING\tIN WORK")
	for _, name := range sortedKeys(o.Queues) {
		fmt.Fprintf(table, "%s\t%d\t%d\n", name, o.Queues[name].Waiting, o.Queues[name].InWork)
	}
	var states []string
	for _, state := range sortedKeys(o.States) {
		states = append(states, fmt.Sprintf("%d %s", o.States[state], state))
	}
	fmt.Fprintf(table, "\nJobs: %s. Dead letters: %d.\n", cmp.Or(strings.Join(states, ", "), "none yet"), o.Dead)
	if len(o.Jobs) > 0 {
		fmt.Fprintln(table, "\nJOB\tSTATE\tSTAGE\tUPDATED\tSOURCE\tNOTE")
	}
	for _, s := range o.Jobs {
		fmt.Fprintf(table, "%.12s\t%s\t%s\t%s\t%s\t%s\n", s.Job, s.State, s.Stage, s.UpdatedAt.Local().Format(time.DateTime), s.Source.Path(), note(s))
	}
	return table.Flush()
}

func printStatus(w io.Writer, s jet.Status) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, row := range [][2]string{
		{"job", s.Job}, {"state", s.State}, {"stage", s.Stage}, {"source", s.Source.Path()}, {"sha256", s.Source.SHA256},
		{"pages", s.Range}, {"note", note(s)}, {"updated", s.UpdatedAt.Local().Format(time.DateTime)},
	} {
		if row[1] != "" {
			fmt.Fprintf(table, "%s\t%s\n", row[0], row[1])
		}
	}
	return table.Flush()
}

// note says what a job waits for, or why it failed.
func note(s jet.Status) string {
	switch {
	case s.Class != "":
		return strings.TrimSuffix(fmt.Sprintf("%s: %s; %s", s.Class, s.Message, s.WaitsFor), "; ")
	case s.WaitsFor != "":
		return "waits for " + s.WaitsFor
	}
	return s.Message
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
