package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
)

type statusCommand struct {
	remote
	Job     string `arg:"" optional:"" help:"Job id, or the beginning of one."`
	Tenant  string `placeholder:"NAME" help:"Only what is of this tenant."`
	Limit   int    `default:"20" help:"Jobs listed, the latest first; 0: all."`
	Rebuild bool   `help:"Make the projection that status reads anew, from products, events and the work queue."`
}

// Help implements kong's help provider.
func (statusCommand) Help() string {
	return `Without a job it also shows the servers of models that workers of marker 2.x share: what state each is in, and the last that a server which does not
work has printed; with --json the end of every server's log.

Examples:
  pdfmill status                      queues, the latest jobs, and servers
  pdfmill status 3f2a                 one job, and its place in the queue
  pdfmill status --tenant acme        what is of one tenant, and why it waits
  pdfmill status --rebuild            when the projection was lost
  pdfmill status --limit 0 --json     everything, for programs`
}

// overview is what status prints without a job.
type overview struct {
	Queues map[string]queue `json:"queues"` // by consumer
	States map[string]int   `json:"states"` // jobs by state
	Dead   uint64           `json:"dead_letters"`
	Jobs   []jet.Status     `json:"jobs"`
	// Tenants says what each has used, and how many of its documents wait.
	Tenants []jet.TenantReport `json:"tenants"`
	// Servers are those of models, that workers share.
	Servers []server `json:"servers"`
}

// queue is how a consumer of the work queue stands.
type queue struct {
	Waiting uint64 `json:"waiting"`
	InWork  int    `json:"in_work"`
	// Unserved says that ranges wait there and nobody takes any.
	Unserved bool `json:"unserved,omitempty"`
}

// Run prints where jobs are.
func (c *statusCommand) Run(g *globals, std streams) error {
	return c.withBroker(g, std, func(ctx context.Context, broker *jet.Broker) error {
		switch {
		case c.Tenant != "" && (c.Rebuild || c.Job != ""):
			return usage(errors.New("--tenant is about the list of jobs"), "")
		case c.Rebuild && c.Job != "":
			return usage(errors.New("--rebuild is about all jobs"), "")
		case c.Rebuild:
			return c.rebuild(ctx, g, std, broker)
		case c.Job != "":
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
	})
}

// detail is what status prints of one job.
type detail struct {
	jet.Status
	Place *jet.Place `json:"place,omitempty"` // in the queue, of a job that is not done
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
	d := detail{Status: s}
	switch place, err := broker.PlaceOf(ctx, s.Job); {
	case s.Ended(): // what is left of it in the queue is not worked on
	case err == nil:
		d.Place = &place
	case !errors.Is(err, jet.ErrNotQueued):
		return err
	}
	if g.JSON {
		return printJSON(std.out, d)
	}
	return printStatus(std.out, d)
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
	unserved, err := broker.Unserved(ctx)
	if err != nil {
		return o, err
	}
	consumers := jobs.ListConsumers(ctx)
	for info := range consumers.Info() {
		name := jet.QueueName(info.Name)
		q := o.Queues[name]
		o.Queues[name] = queue{Waiting: q.Waiting + info.NumPending, InWork: q.InWork + info.NumAckPending}
	}
	if err := consumers.Err(); err != nil {
		return o, fmt.Errorf("read the work queue: %w", err)
	}
	for subject, waiting := range unserved {
		o.Queues[jet.Durable(subject)] = queue{Waiting: waiting, Unserved: true}
	}
	dead, err := broker.JS().Stream(ctx, jet.StreamDead)
	if err != nil {
		return o, fmt.Errorf("read the dead letters: %w", err)
	}
	o.Dead = dead.CachedInfo().State.Msgs
	if o.Tenants, err = broker.TenantReports(ctx, time.Now()); err != nil {
		return o, err
	}
	mine := func(jet.Status) bool { return true }
	if c.Tenant != "" {
		at := slices.IndexFunc(o.Tenants, func(r jet.TenantReport) bool { return r.Name == c.Tenant })
		if at < 0 {
			return o, exit{exitSome, fmt.Errorf("no tenant %q (list them with: pdfmill tenants ls)", c.Tenant)}
		}
		o.Tenants = o.Tenants[at : at+1]
		mine = func(s jet.Status) bool { return s.Tenant == c.Tenant }
	}
	for s, err := range broker.Statuses(ctx) {
		if err != nil {
			return o, err
		}
		if !mine(s) {
			continue
		}
		o.States[s.State]++
		o.Jobs = append(o.Jobs, s)
	}
	slices.SortFunc(o.Jobs, func(a, b jet.Status) int { return b.UpdatedAt.Compare(a.UpdatedAt) })
	if c.Limit > 0 && len(o.Jobs) > c.Limit {
		o.Jobs = o.Jobs[:c.Limit]
	}
	o.Servers, err = servers(ctx, broker)
	return o, err
}

func printOverview(w io.Writer, o overview) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "QUEUE\tWAITING\tIN WORK")
	for _, name := range sortedKeys(o.Queues) {
		nobody := ""
		if o.Queues[name].Unserved {
			nobody = "\tno gpu-runner takes these: nobody serves the engine, or has the labels that they need"
		}
		fmt.Fprintf(table, "%s\t%d\t%d%s\n", name, o.Queues[name].Waiting, o.Queues[name].InWork, nobody)
	}
	var states []string
	for _, state := range sortedKeys(o.States) {
		states = append(states, fmt.Sprintf("%d %s", o.States[state], state))
	}
	fmt.Fprintf(table, "\nJobs: %s. Dead letters: %d.\n", cmp.Or(strings.Join(states, ", "), "none yet"), o.Dead)
	for _, r := range o.Tenants {
		switch {
		case r.Over == nil:
		case r.Waits():
			fmt.Fprintf(table, "%d documents wait: %s.\n", r.Waiting, r.Over)
		default:
			fmt.Fprintf(table, "Documents are refused: %s.\n", r.Over)
		}
	}
	if len(o.Jobs) > 0 {
		fmt.Fprintln(table, "\nJOB\tSTATE\tSTAGE\tUPDATED\tSOURCE\tNOTE")
	}
	for _, s := range o.Jobs {
		fmt.Fprintf(table, "%.12s\t%s\t%s\t%s\t%s\t%s\n", s.Job, s.State, s.Stage, s.UpdatedAt.Local().Format(time.DateTime), s.Source.Path(), note(s))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return printServers(w, o.Servers)
}

func printStatus(w io.Writer, s detail) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	pages, attempts := "", ""
	if s.Pages > 0 {
		pages = fmt.Sprintf("%d of %d through the engine", s.Done.Len(), s.Pages)
		if s.State == jet.StateConverted {
			pages = fmt.Sprint(s.Pages)
		}
	}
	if s.Attempts > 1 {
		attempts = fmt.Sprint(s.Attempts)
	}
	var worked []string
	for _, stage := range sortedKeys(s.Seconds) {
		worked = append(worked, fmt.Sprintf("%s %.2f s", stage, s.Seconds[stage]))
	}
	for _, row := range [][2]string{
		{"job", s.Job},
		{"state", s.State},
		{"stage", s.Stage},
		{"source", s.Source.Path()},
		{"tenant", s.Tenant},
		{"sha256", s.Source.SHA256},
		{"engine", s.Engine},
		{"pages", pages},
		{"latest range", s.Range},
		{"attempts", attempts},
		{"worked", strings.Join(worked, ", ")},
		{"note", note(s.Status)},
		{"queue", queuedAs(s.Place)},
		{"accepted", date(s.AcceptedAt)},
		{"updated", date(s.UpdatedAt)},
	} {
		if row[1] != "" {
			fmt.Fprintf(table, "%s\t%s\n", row[0], row[1])
		}
	}
	return table.Flush()
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

// queuedAs says where a job stands in the queue, and how long it may take.
func queuedAs(p *jet.Place) string {
	if p == nil {
		return ""
	}
	text := fmt.Sprintf("%d of it at %s, behind %d others", p.Messages, p.Stage, p.Ahead)
	if p.AheadPages > 0 {
		text += fmt.Sprintf(" with %d pages", p.AheadPages)
	}
	if p.Unserved {
		return text + "; no gpu-runner takes it: nobody serves the engine, or has the labels that it needs"
	}
	text += fmt.Sprintf("; %d in work there", p.InWork)
	if p.Remaining > 0 {
		text += fmt.Sprintf("; about %s to go", max(time.Second, time.Duration(p.Remaining*float64(time.Second)).Round(time.Second)))
	}
	return text
}

// note says what a job waits for, or why it failed.
func note(s jet.Status) string {
	switch {
	case s.Class == failure.Cancelled:
		return s.Message
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
