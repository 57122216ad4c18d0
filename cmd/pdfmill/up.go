package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/endpoints"
	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/onebox"
	"github.com/pdfmill/pdfmill/embedded"
	"github.com/pdfmill/pdfmill/pipeline/config"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

type upCommand struct {
	Data       string `env:"PDFMILL_DATA" default:"pdfmill-data" placeholder:"DIR" help:"Directory for all state (${default}); deleting it is a factory reset."`
	NATSAddr   string `name:"nats-addr" env:"PDFMILL_NATS_ADDR" placeholder:"HOST:PORT" help:"Where NATS listens; port 0 picks one. Default: 127.0.0.1:4222, or another port when that is taken."`
	S3Addr     string `name:"s3-addr" env:"PDFMILL_S3_ADDR" placeholder:"HOST:PORT" help:"Where S3 listens. Default: 127.0.0.1:9000, or another port when that is taken."`
	HTTPAddr   string `name:"http-addr" env:"PDFMILL_HTTP_ADDR" placeholder:"HOST:PORT" help:"Where health and metrics are served. Default: 127.0.0.1:8080, or another port when that is taken."`
	Durability string `env:"PDFMILL_DURABILITY" enum:"synced,relaxed" default:"synced" help:"synced: what was acknowledged survives a power cut; relaxed: the death of the process only, but faster."`
	Tenants    string `env:"PDFMILL_TENANTS" type:"path" placeholder:"FILE" help:"JSON file that declares tenants: sources in the inboxes, and quotas a day (docs/tenants.md)."`
	settings
}

// Help implements kong's help provider.
func (upCommand) Help() string {
	return `Put a PDF into the inbox directory, or upload it to the inbox bucket; its Markdown is announced as pdf.converted, a failure as pdf.failed.
Stops on Ctrl-C or SIGTERM within 10 seconds; a second one stops at once. What was in hand is done at the next start.

Examples:
  pdfmill up
  pdfmill up --data /var/lib/pdfmill --nats-addr 127.0.0.1:4222 --workers 4
  cp report.pdf pdfmill-data/s3/inbox/ && pdfmill watch`
}

// upGrace is what work in hand gets when the daemon stops; with the servers' own time it stays below 10 s.
const upGrace = 6 * time.Second

// Run runs the daemon.
func (c *upCommand) Run(g *globals, std streams) error {
	began := time.Now()
	stop, ctx, done := interruptible()
	defer done()
	log := g.logger(std.err, slog.LevelInfo)
	dir, err := filepath.Abs(c.Data)
	if err != nil {
		return err
	}
	d, err := c.start(ctx, dir, log, std.err)
	if err != nil {
		return err
	}
	select {
	case <-stop:
	case <-d.plant.over:
	case err := <-d.ready:
		if err == nil {
			err = errors.Join(d.tellTenants(), d.box.Endpoints.Write(dir)) // who finds the latter finds the others
		}
		if err != nil {
			return errors.Join(err, d.end(ctx, dir, log))
		}
		log.Info("ready", "seconds", time.Since(began).Seconds())
		if err := d.announce(g, std.out, dir); err != nil {
			log.Warn("could not print where the pipeline is", "err", err)
		}
		select {
		case <-stop:
		case <-d.plant.over:
		}
	}
	return d.end(ctx, dir, log)
}

// daemon is a running pipeline.
type daemon struct {
	box   *onebox.Box
	plant *plant
	ready chan error // receives one value: nil once every service can take work

	tenants tenant.Set
}

// tellTenants writes for each tenant where it finds the pipeline, and as whom.
func (d *daemon) tellTenants() error {
	var faults []error
	for dir, e := range d.box.TenantEndpoints(d.tenants) {
		err := os.MkdirAll(dir, 0o700)
		if err == nil {
			err = e.Write(dir)
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func (c *upCommand) start(ctx context.Context, dir string, log *slog.Logger, notices io.Writer) (*daemon, error) {
	addrs, err := choose(ctx, preferred{"NATS", "--nats-addr", c.NATSAddr, "127.0.0.1:4222"}, preferred{"S3", "--s3-addr", c.S3Addr, "127.0.0.1:9000"},
		preferred{"HTTP", "--http-addr", c.HTTPAddr, "127.0.0.1:8080"})
	if err != nil {
		return nil, err
	}
	tenants := tenant.Set{}
	if c.Tenants != "" {
		if tenants, err = tenant.Read(c.Tenants); err != nil {
			return nil, usage(err, "")
		}
		for _, t := range tenants {
			if !t.In(c.Ingest.Inbox) {
				return nil, usage(fmt.Errorf("tenants in %s: the source of %s, %s, is in no inbox", c.Tenants, t.Name, t.Source), "name one that holds it with --inbox")
			}
		}
	}
	box, err := onebox.Start(ctx, onebox.Config{
		Tenants: tenants, Dir: dir, Inboxes: c.Ingest.Inbox, NATSAddr: addrs[0], S3Addr: addrs[1], Durability: embedded.Durability(c.Durability), Engines: c.engines(), Log: log,
	})
	if err != nil {
		return nil, err
	}
	d := &daemon{box: box, ready: make(chan error, 1), tenants: tenants}
	if err := c.startServices(ctx, d, dir, addrs[2], log, notices); err != nil {
		return nil, errors.Join(err, stopBox(box))
	}
	return d, nil
}

func (c *upCommand) startServices(ctx context.Context, d *daemon, dir, httpAddr string, log *slog.Logger, notices io.Writer) error {
	cache, err := config.CacheDir(c.Cache)
	if err != nil {
		return err
	}
	metrics := telemetry.NewMetrics()
	projection, err := jet.NewProjection(ctx, d.box.Broker)
	if err != nil {
		return err
	}
	c.Ingest.Directories = d.box.InboxDirs
	c.settings.Runner.Install = preparing(notices)
	if c.settings.Runner.Scratch == "" {
		c.settings.Runner.Scratch = filepath.Join(dir, "scratch")
	}
	made, err := services("all", c.settings, newPlatform(d.box, cache, c.Secrets, jet.Observers{metrics, projection}, metrics.Registry(), log))
	if err != nil {
		return err
	}
	made = append(made, d.box.Guard(), jet.NewSweeper(d.box.Broker, lifecycle.Version, log), jet.NewDesk(d.box.Broker, lifecycle.Version, log), jet.NewCourier(d.box.Broker, log), projection)
	web, err := lifecycle.ListenHTTP(ctx, httpAddr, metrics.Registry(), log, made...)
	if err != nil {
		return err
	}
	d.box.Endpoints.HTTPURL = web.URL()
	d.plant = startPlant(ctx, log, append(made, web))
	go d.awaitReady(made, log)
	return nil
}

// awaitReady asks the services until all are ready or the plant is over.
func (d *daemon) awaitReady(services []lifecycle.Service, log *slog.Logger) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for _, s := range services {
		for err := s.Ready(); err != nil; err = s.Ready() {
			select {
			case <-ticker.C:
			case <-d.plant.over:
				return
			}
		}
		log.Debug("service is ready", "service", s.Name())
	}
	d.ready <- nil
}

// announce tells a person, or a program, where the pipeline is.
func (d *daemon) announce(g *globals, w io.Writer, dir string) error {
	e := d.box.Endpoints
	if g.JSON {
		return printJSON(w, map[string]string{
			"inbox_dir": e.InboxDir, "inbox_bucket": e.InboxBucket, "nats_url": e.NATSURL, "s3_endpoint": e.S3Endpoint, "http_url": e.HTTPURL,
			"credentials": filepath.Join(dir, endpoints.Name),
		})
	}
	_, err := fmt.Fprintf(w, `
pdfmill is ready.
  Inbox directory   %s   (copy PDFs here)
  Inbox bucket      %s at %s
  NATS              %s
  Health, metrics   %s/readyz, %s/metrics
  Credentials       %s   (readable by you only)

  Follow events     pdfmill watch --data %s
  or with nats      nats --server %s --user %s --password "$(jq -r .nats_password %s)" sub 'pdf.>'

Ctrl-C stops it.
`, e.InboxDir, e.InboxBucket, e.S3Endpoint, e.NATSURL, e.HTTPURL, e.HTTPURL, filepath.Join(dir, endpoints.Name), dir,
		e.NATSURL, e.NATSUser, filepath.Join(dir, endpoints.Name))
	return err
}

// end stops everything in order: services first, so that what they have in hand is finished or given back, then what they stand on.
func (d *daemon) end(ctx context.Context, dir string, log *slog.Logger) error {
	log.Info("stopping")
	err := endpoints.Remove(dir)
	stopped := make(chan error, 1)
	go func() { stopped <- d.plant.stop(upGrace) }()
	select {
	case failed := <-stopped:
		if errors.Is(failed, errSlowStop) {
			log.Warn("stopping without waiting any longer", "why", failed)
		} else {
			err = errors.Join(err, failed)
		}
	case <-ctx.Done():
		log.Warn("stopping at once, as asked: work in hand is done at the next start")
	}
	err = errors.Join(err, stopBox(d.box))
	if err == nil {
		log.Info("stopped")
	}
	return err
}
