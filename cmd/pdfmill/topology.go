package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/rights"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

type topologyCommand struct {
	Diff   topologyDiff   `cmd:"" help:"Show what topology apply would change. Exit code 1 when something differs."`
	Apply  topologyApply  `cmd:"" help:"Create and change streams, KV buckets, consumers and object buckets as declared; refuse what would lose data."`
	Export topologyExport `cmd:"" help:"Print the declaration as JSON."`
	Users  topologyUsers  `cmd:"" help:"Write a user with its rights for each service: NATS keys and permissions, and S3 policies."`
}

// installation is what differs between servers.
type installation struct {
	Replicas    int           `env:"PDFMILL_REPLICAS" default:"1" placeholder:"N" group:"This installation:" help:"Replicas of each stream: 3 in a cluster of three servers or more (${default})."`
	MaxQueued   int64         `name:"max-queued" env:"PDFMILL_MAX_QUEUED" default:"1000000" placeholder:"N" group:"This installation:" help:"Messages that wait at most for each stage, engine and lane; then whoever would add one waits, back to ingest (${default})."`
	EventsBytes int64         `name:"events-max-bytes" env:"PDFMILL_EVENTS_MAX_BYTES" default:"8589934592" placeholder:"BYTES" group:"This installation:" help:"Bound of the events that subscribers can catch up on, beside 30 days; the oldest go (${default})."`
	StatusAge   time.Duration `name:"status-max-age" env:"PDFMILL_STATUS_MAX_AGE" default:"720h" placeholder:"TIME" group:"This installation:" help:"How long the status of a job is kept after its last change; NATS servers need 250 to 550 bytes of memory for each (${default})."`
	Engines     []string      `env:"PDFMILL_ENGINES" default:"text,marker" placeholder:"NAME" group:"This installation:" help:"Engines that gpu-runners serve (${default}); with what documents may need of who serves them: marker,marker@region=eu."`
	Tenants     string        `env:"PDFMILL_TENANTS" type:"path" placeholder:"FILE" group:"This installation:" help:"JSON file that declares the tenants, all of them: sources, and quotas a day (docs/tenants.md). Default: those that were applied before stay."`
}

// topology is the declaration; reading the tenants' file can fail.
func (i installation) topology() (jet.Topology, error) {
	t := jet.Topology{Replicas: i.Replicas, MaxQueued: i.MaxQueued, EventsMaxBytes: i.EventsBytes, StatusMaxAge: i.StatusAge, Engines: i.routes()}
	if i.Tenants == "" {
		return t, nil
	}
	var err error
	if t.Tenants, err = tenant.Read(i.Tenants); err != nil {
		return t, usage(err, "")
	}
	return t, nil
}

// routes are the engines as they are written in subjects.
func (i installation) routes() []string {
	routes, _ := job.ParseRoutes(i.Engines) // Validate has read them
	return routes
}

// Validate is called by the command line's parser.
func (i installation) Validate() error {
	if i.Replicas < 1 || i.Replicas > 5 {
		return fmt.Errorf("--replicas %d: JetStream keeps 1 to 5", i.Replicas)
	}
	if _, err := job.ParseRoutes(i.Engines); err != nil {
		return fmt.Errorf("--engines: %w", err)
	}
	if i.StatusAge < time.Minute {
		return fmt.Errorf("--status-max-age %s: the status of what goes on now has to outlast it: a minute at least", i.StatusAge)
	}
	if i.MaxQueued < 1 {
		return fmt.Errorf("--max-queued %d: at least one message must be able to wait", i.MaxQueued)
	}
	return nil
}

type topologyDiff struct {
	remote
	installation
}

// Run compares and says so.
func (c *topologyDiff) Run(g *globals, std streams) error {
	topology, err := c.topology()
	if err != nil {
		return err
	}
	return c.withBroker(g, std, func(ctx context.Context, b *jet.Broker) error {
		plan, err := b.Diff(ctx, topology)
		if err != nil {
			return err
		}
		if err := printPlan(g, std.out, plan); err != nil {
			return err
		}
		if len(plan.Changes) > 0 {
			return some()
		}
		return nil
	})
}

type topologyApply struct {
	remote
	installation
	Bucket string `env:"PDFMILL_BUCKET" default:"pdfmill" placeholder:"NAME" group:"This installation:" help:"pdfmill's own bucket (${default}); made, like the inbox, when --s3-endpoint is given."`
	Force  bool   `help:"Change also what loses data, as far as JetStream does it, and what a later version made."`
}

// Help implements kong's help provider.
func (topologyApply) Help() string {
	return `What it is about to change is printed first.

Examples:
  pdfmill topology apply --nats-url tls://nats1:4222,tls://nats2:4222 --nats-nkey admin.nk --nats-ca ca.pem --replicas 3
  pdfmill topology diff  --nats-url …   shows it only`
}

// Run prints the difference and makes it good.
func (c *topologyApply) Run(g *globals, std streams) error {
	topology, err := c.topology()
	if err != nil {
		return err
	}
	return c.withBroker(g, std, func(ctx context.Context, b *jet.Broker) error {
		plan, err := b.Diff(ctx, topology)
		if err != nil {
			return err
		}
		if err := printPlan(g, std.out, plan); err != nil {
			return err
		}
		if plan.Newer && !c.Force {
			return errors.New("a later version of pdfmill made what is there (use that version, or --force)")
		}
		if err := b.Execute(ctx, plan, c.Force); err != nil {
			if errors.Is(err, jet.ErrLoses) {
				err = fmt.Errorf("%w\nnothing was changed (make room first, or --force)", err)
			}
			return err
		}
		return c.buckets(ctx)
	})
}

// buckets makes what is missing in an object store that was named.
func (c *topologyApply) buckets(ctx context.Context) error {
	if c.S3Endpoint == "" {
		return nil
	}
	e, err := c.endpoints()
	if err != nil {
		return err
	}
	store, err := c.store(e)
	if err != nil {
		return usage(err, "")
	}
	defer store.Close()
	faults := []error{store.EnsureBucket(ctx, c.Bucket)}
	for inbox := range strings.SplitSeq(cmp.Or(c.Inboxes, e.InboxBucket), ",") {
		bucket, _, _ := strings.Cut(inbox, "/")
		faults = append(faults, store.EnsureBucket(ctx, bucket))
	}
	return errors.Join(faults...)
}

type topologyExport struct{ installation }

// Run prints the declaration.
func (c *topologyExport) Run(std streams) error {
	topology, err := c.topology()
	if err != nil {
		return err
	}
	return printJSON(std.out, struct {
		Version int `json:"version"`
		jet.Topology
		jet.Declaration
	}{jet.TopologyVersion, topology, topology.Declare()})
}

type topologyUsers struct {
	Dir string `arg:"" type:"path" help:"Folder for the files; keys that are there are kept."`
	installation
	Domain string   `name:"nats-domain" env:"PDFMILL_NATS_DOMAIN" placeholder:"NAME" group:"This installation:" help:"JetStream domain."`
	Inbox  []string `env:"PDFMILL_INBOX" default:"inbox" placeholder:"BUCKET" group:"This installation:" help:"Inbox buckets, or BUCKET/PREFIX for what begins like this there (${default})."`
	Bucket string   `env:"PDFMILL_BUCKET" default:"pdfmill" placeholder:"NAME" group:"This installation:" help:"pdfmill's own bucket (${default})."`
	// Account is needed where tenants have accounts, which name it.
	Account string `name:"nats-account" env:"PDFMILL_NATS_ACCOUNT" default:"PDFMILL" placeholder:"NAME" group:"This installation:" help:"pdfmill's own account on the NATS servers, as those of tenants know it (${default})."`
}

// Help implements kong's help provider.
func (topologyUsers) Help() string {
	return `Writes, for the roles gateway, ingest, validator, gpu-runner, publisher, user, operator and admin:
  nats-users.conf       to include in the NATS servers' authorization {}, or in an account
  ROLE.nk               the seed of the role's key, for --nats-nkey; mode 0600, kept when it is there
  ROLE-s3-policy.json   to attach to the role's user of the object store (AWS, MinIO), or instead of them all
  BUCKET-bucket-policy.json, for a store whose users have the roles' names and no policies (versitygw)
and with --tenants:
  nats-accounts.conf    to include in the NATS servers' accounts {}: one of each tenant that has "account": true
  nats-imports.conf     to include in pdfmill's account
  tenant-NAME.nk, tenant-NAME-s3-policy.json, for the tenant's users`
}

// Run writes the files.
func (c *topologyUsers) Run(std streams) error {
	topology, err := c.topology()
	if err != nil {
		return err
	}
	topology.Domain = c.Domain
	if err := rights.Write(c.Dir, topology, rights.Buckets{Inboxes: c.Inbox, Own: c.Bucket}, c.Account); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "wrote %d roles to %s\n", len(jet.Roles()), c.Dir)
	return err
}

func printPlan(g *globals, w io.Writer, p jet.Plan) error {
	if g.JSON {
		return printJSON(w, p)
	}
	if len(p.Changes) == 0 {
		_, err := fmt.Fprintln(w, "nothing differs")
		return err
	}
	var faults []error
	line := func(format string, v ...any) {
		_, err := fmt.Fprintf(w, format+"\n", v...)
		faults = append(faults, err)
	}
	for _, c := range p.Changes {
		what := c.Kind + " " + c.Name
		if c.Kind == "stream" && c.Of != "" {
			what += " of tenant " + c.Of
		}
		if c.Create {
			line("+ %s", what)
			continue
		}
		if c.Remove {
			line("- %s", what)
			continue
		}
		line("~ %s", what)
		for _, f := range c.Fields {
			line("    %s: %s -> %s", f.Name, orNone(f.From), orNone(f.To))
		}
		for _, why := range c.Loses {
			line("  ! refused: %s", why)
		}
	}
	return errors.Join(faults...)
}

func orNone(value string) string {
	if value == "" {
		return "(none)"
	}
	return value
}
