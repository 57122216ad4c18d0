// Package onebox is one machine's pipeline without its services: NATS and S3 in this process, their credentials, the topology, and connections to both.
package onebox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/endpoints"
	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/rights"
	"github.com/pdfmill/pdfmill/embedded"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// InboxBucket is where documents are dropped unless a Config says otherwise.
const InboxBucket = "inbox"

// adminName is the user of NATS and the account of S3 that this process itself uses; the others have their roles' names.
const adminName = "pdfmill"

// Config of a Box.
type Config struct {
	Dir string // everything that outlives the process; absolute
	// Inboxes are the buckets into which documents are dropped, the first being the one that clients are told of. Default: InboxBucket alone.
	Inboxes    []string
	NATSAddr   string // host:port; port 0 picks one
	S3Addr     string // host:port; port 0 picks one
	Durability embedded.Durability
	Engines    []string // that the gpu-runner serves
	Tenants    tenant.Set
	Log        *slog.Logger
	// Step, when not nil, is told what has just been reached, for whoever measures the start.
	Step func(string)
}

// Box is a running pair of servers with connections to each: those of the admin, and one for each stage, with no more rights than it would have in a cluster.
type Box struct {
	Endpoints endpoints.Endpoints
	Broker    *jet.Broker
	Store     *object.S3 // the admin's, by the way that clients take
	// InboxDirs are the folders that the inboxes are, by bucket.
	InboxDirs map[string]string

	dir     string
	nats    *embedded.NATS
	s3      *embedded.S3
	secrets map[string]string
	brokers map[string]*jet.Broker
	stores  map[string]object.Store
}

// Stage is what a stage connects with. Its store is the gateway without the way over the network.
func (b *Box) Stage(name string) (*jet.Broker, object.Store) { return b.brokers[name], b.stores[name] }

func stages() []string {
	return []string{stage.Ingest, stage.Validator, stage.GPURunner, stage.Publisher}
}

// roles are those that have credentials; the admin is adminName.
func roles() []string { return append(stages(), jet.RoleUser, jet.RoleOperator) }

// Start starts both servers at once. The process' working directory may be another one afterwards.
func Start(ctx context.Context, c Config) (*Box, error) {
	if c.Step == nil {
		c.Step = func(string) {}
	}
	if len(c.Inboxes) == 0 {
		c.Inboxes = []string{InboxBucket}
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory %s: %w (choose another with --data)", c.Dir, err)
	}
	if os.Geteuid() == 0 { // documents are parsed as nobody then, who may pass through to scratch and sees nothing on the way
		if err := os.Chmod(c.Dir, 0o711); err != nil {
			return nil, fmt.Errorf("data directory %s: %w (choose another with --data)", c.Dir, err)
		}
	}
	names := []string{"nats-admin", "s3-admin"}
	for _, role := range roles() {
		names = append(names, "nats-"+role, "s3-"+role)
	}
	for _, t := range c.Tenants {
		names = append(names, "nats-"+rights.TenantUser(t.Name), "s3-"+rights.TenantUser(t.Name))
	}
	secrets, err := embedded.Secrets(filepath.Join(c.Dir, "credentials.json"), names...)
	if err != nil {
		return nil, err
	}
	b := &Box{dir: c.Dir, secrets: secrets, brokers: map[string]*jet.Broker{}, stores: map[string]object.Store{}}
	connected := make(chan struct{})
	group, starting := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := b.startNATS(starting, c); err != nil {
			return err
		}
		close(connected)
		c.Step("topology applied")
		return nil
	})
	group.Go(func() error {
		defer c.Step("S3 listens")
		return b.startS3(starting, c, connected)
	})
	if err := group.Wait(); err != nil {
		return nil, errors.Join(err, b.Stop(context.WithoutCancel(ctx)))
	}
	b.Endpoints = endpoints.Endpoints{
		NATSURL: b.nats.URL(), NATSUser: jet.RoleUser, NATSPassword: secrets["nats-user"],
		OperatorUser: jet.RoleOperator, OperatorPassword: secrets["nats-operator"],
		S3OperatorKey: jet.RoleOperator, S3OperatorSecret: secrets["s3-operator"],
		S3Endpoint: b.s3.URL(), S3AccessKey: jet.RoleUser, S3SecretKey: secrets["s3-user"],
		InboxBucket: c.Inboxes[0], InboxDir: b.InboxDirs[c.Inboxes[0]], Bucket: lifecycle.DefaultBucket, PID: os.Getpid(), Version: lifecycle.Version,
	}
	return b, nil
}

func (b *Box) startNATS(ctx context.Context, c Config) (err error) {
	users := []embedded.User{{Name: adminName, Password: b.secrets["nats-admin"]}}
	for _, role := range roles() {
		r, err := jet.Topology{Replicas: 1, Engines: c.Engines, Tenants: c.Tenants}.Rights(role)
		if err != nil {
			return err
		}
		users = append(users, embedded.User{
			Name: role, Password: b.secrets["nats-"+role], Publish: r.Publish, Subscribe: r.Subscribe, DenyPublish: r.DenyPublish, DenySubscribe: r.DenySubscribe,
		})
	}
	b.nats, err = embedded.StartNATS(ctx, embedded.NATSConfig{
		Dir: filepath.Join(c.Dir, "nats"), Addr: c.NATSAddr, Durability: c.Durability, Log: c.Log, Users: users, Guests: b.guests(c.Tenants),
	})
	if err != nil {
		return err
	}
	c.Step("NATS listens")
	b.Broker, err = jet.Connect(ctx, jet.Config{URL: b.nats.URL(), User: adminName, Password: b.secrets["nats-admin"], InboxPrefix: jet.InboxPrefix(jet.RoleAdmin)}, "pdfmill", c.Log)
	if err != nil {
		return err
	}
	for _, role := range stages() {
		own := jet.Config{URL: b.nats.URL(), User: role, Password: b.secrets["nats-"+role], InboxPrefix: jet.InboxPrefix(role)}
		if b.brokers[role], err = jet.Connect(ctx, own, "pdfmill-"+role, c.Log); err != nil {
			return err
		}
	}
	if err := b.Broker.Apply(ctx, 1); err != nil {
		return err
	}
	return b.Broker.SetTenants(ctx, c.Tenants, 1)
}

func (b *Box) startS3(ctx context.Context, c Config, connected <-chan struct{}) (err error) {
	buckets := rights.Buckets{Inboxes: c.Inboxes, Own: lifecycle.DefaultBucket}
	accounts := make([]embedded.Account, 0, 1+len(roles()))
	accounts = append(accounts, embedded.Account{Access: adminName, Secret: b.secrets["s3-admin"]})
	for _, role := range roles() {
		accounts = append(accounts, embedded.Account{Access: role, Secret: b.secrets["s3-"+role], Grants: buckets.Grants(role)})
	}
	for _, t := range c.Tenants {
		who := rights.TenantUser(t.Name)
		accounts = append(accounts, embedded.Account{Access: who, Secret: b.secrets["s3-"+who], Grants: buckets.TenantGrants(t), Private: true})
	}
	b.s3, err = embedded.StartS3(ctx, embedded.S3Config{
		Dir: filepath.Join(c.Dir, "s3"), Addr: c.S3Addr, Durability: c.Durability, Log: c.Log,
		Buckets: append([]string{lifecycle.DefaultBucket}, c.Inboxes...), AnnounceBuckets: c.Inboxes, Accounts: accounts,
		Announce: func(ctx context.Context, p embedded.Put) error {
			select {
			case <-connected:
			case <-ctx.Done():
				return ctx.Err()
			}
			source := document.Source{Bucket: p.Bucket, Key: p.Key, ETag: p.ETag, Size: p.Size, ModTime: p.ModTime.UTC().Truncate(time.Second)}
			hint := event.NewDropped(source).With(p.Metadata).Output()
			if _, owned := c.Tenants.Of(source); owned {
				hint.Subject = event.SubjectDropped // ingest sorts it: it knows the tenants' lanes
			}
			return b.Broker.Publish(ctx, hint)
		},
	})
	if err != nil {
		return err
	}
	b.InboxDirs = map[string]string{}
	for _, bucket := range c.Inboxes {
		b.InboxDirs[bucket] = b.s3.BucketDir(bucket)
	}
	for _, role := range stages() {
		gateway, err := b.s3.Local(role)
		if err != nil {
			return err
		}
		b.stores[role] = local{gateway}
	}
	b.Store, err = object.NewS3(object.Config{Endpoint: b.s3.URL(), AccessKey: adminName, SecretKey: b.secrets["s3-admin"], Region: "us-east-1"})
	return err
}

// Disconnect closes every connection to NATS; whoever waits for a message there stops waiting.
func (b *Box) Disconnect() {
	for _, broker := range append(slices.Collect(maps.Values(b.brokers)), b.Broker) {
		if broker != nil {
			broker.Close()
		}
	}
}

// Stop closes the connections and stops both servers; what they acknowledged is stored.
func (b *Box) Stop(ctx context.Context) error {
	if b.Store != nil {
		b.Store.Close() // idle connections would hold the gateway
	}
	b.Disconnect()
	group := errgroup.Group{}
	if b.s3 != nil {
		group.Go(func() error { return b.s3.Stop(ctx) })
	}
	if b.nats != nil {
		group.Go(func() error { return b.nats.Stop(ctx) })
	}
	return group.Wait()
}
