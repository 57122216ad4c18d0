// Package onebox is one machine's pipeline without its services: NATS and S3 in this process, their credentials, the topology, and connections to both.
package onebox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/endpoints"
	"github.com/pdfmill/pdfmill/embedded"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// InboxBucket is where documents are dropped unless a Config says otherwise.
const InboxBucket = "inbox"

// Users of NATS and accounts of S3. The operator's may do everything, the user's what a subscriber and an uploader need.
const (
	operatorName = "pdfmill"
	userName     = "user"
)

// Config of a Box.
type Config struct {
	Dir string // everything that outlives the process; absolute
	// Inboxes are the buckets into which documents are dropped, the first being the one that clients are told of. Default: InboxBucket alone.
	Inboxes    []string
	NATSAddr   string // host:port; port 0 picks one
	S3Addr     string // host:port; port 0 picks one
	Durability embedded.Durability
	Log        *slog.Logger
	// Step, when not nil, is told what has just been reached, for whoever measures the start.
	Step func(string)
}

// Box is a running pair of servers with a connection to each.
type Box struct {
	Endpoints endpoints.Endpoints
	Broker    *jet.Broker
	Store     *object.S3
	// InboxDirs are the folders that the inboxes are, by bucket.
	InboxDirs map[string]string

	nats *embedded.NATS
	s3   *embedded.S3
}

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
	secrets, err := embedded.Secrets(filepath.Join(c.Dir, "credentials.json"), "nats-operator", "nats-user", "s3-operator", "s3-user")
	if err != nil {
		return nil, err
	}
	b := &Box{}
	connected := make(chan struct{})
	group, starting := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := b.startNATS(starting, c, secrets); err != nil {
			return err
		}
		close(connected)
		c.Step("topology applied")
		return nil
	})
	group.Go(func() error {
		defer c.Step("S3 listens")
		return b.startS3(starting, c, secrets, connected)
	})
	if err := group.Wait(); err != nil {
		return nil, errors.Join(err, b.Stop(context.WithoutCancel(ctx)))
	}
	b.Endpoints = endpoints.Endpoints{
		NATSURL: b.nats.URL(), NATSUser: userName, NATSPassword: secrets["nats-user"],
		OperatorUser: operatorName, OperatorPassword: secrets["nats-operator"],
		S3Endpoint: b.s3.URL(), S3AccessKey: userName, S3SecretKey: secrets["s3-user"],
		InboxBucket: c.Inboxes[0], InboxDir: b.InboxDirs[c.Inboxes[0]], Bucket: lifecycle.DefaultBucket, PID: os.Getpid(), Version: lifecycle.Version,
	}
	return b, nil
}

func (b *Box) startNATS(ctx context.Context, c Config, secrets map[string]string) (err error) {
	b.nats, err = embedded.StartNATS(ctx, embedded.NATSConfig{
		Dir: filepath.Join(c.Dir, "nats"), Addr: c.NATSAddr, Durability: c.Durability, Log: c.Log,
		Users: []embedded.User{{Name: operatorName, Password: secrets["nats-operator"]}, subscriber(secrets["nats-user"])},
	})
	if err != nil {
		return err
	}
	c.Step("NATS listens")
	b.Broker, err = jet.Connect(ctx, jet.Config{URL: b.nats.URL(), User: operatorName, Password: secrets["nats-operator"]}, "pdfmill", c.Log)
	if err != nil {
		return err
	}
	return b.Broker.Apply(ctx, 1)
}

// subscriber may read events, from now on or from the stream, and nothing else.
func subscriber(password string) embedded.User {
	const stream = jet.StreamEvents
	return embedded.User{
		Name: userName, Password: password,
		Subscribe: []string{"pdf.>", "_INBOX.>"},
		Publish: []string{
			"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO." + stream, "$JS.API.STREAM.MSG.GET." + stream,
			"$JS.API.DIRECT.GET." + stream, "$JS.API.DIRECT.GET." + stream + ".>",
			"$JS.API.CONSUMER.CREATE." + stream, "$JS.API.CONSUMER.CREATE." + stream + ".>", "$JS.API.CONSUMER.DURABLE.CREATE." + stream + ".>",
			"$JS.API.CONSUMER.NAMES." + stream, "$JS.API.CONSUMER.LIST." + stream, "$JS.API.CONSUMER.INFO." + stream + ".>",
			"$JS.API.CONSUMER.MSG.NEXT." + stream + ".>", "$JS.API.CONSUMER.DELETE." + stream + ".>",
			"$JS.ACK." + stream + ".>", "$JS.FC." + stream + ".>",
		},
	}
}

func (b *Box) startS3(ctx context.Context, c Config, secrets map[string]string, connected <-chan struct{}) (err error) {
	grants := []embedded.Grant{{Bucket: lifecycle.DefaultBucket}}
	for _, bucket := range c.Inboxes {
		grants = append(grants, embedded.Grant{Bucket: bucket, Write: true})
	}
	b.s3, err = embedded.StartS3(ctx, embedded.S3Config{
		Dir: filepath.Join(c.Dir, "s3"), Addr: c.S3Addr, Durability: c.Durability, Log: c.Log,
		Buckets: append([]string{lifecycle.DefaultBucket}, c.Inboxes...), AnnounceBuckets: c.Inboxes,
		Accounts: []embedded.Account{
			{Access: operatorName, Secret: secrets["s3-operator"]},
			{Access: userName, Secret: secrets["s3-user"], Grants: grants},
		},
		Announce: func(ctx context.Context, p embedded.Put) error {
			select {
			case <-connected:
			case <-ctx.Done():
				return ctx.Err()
			}
			return b.Broker.Publish(ctx, event.NewDropped(document.Source{
				Bucket: p.Bucket, Key: p.Key, ETag: p.ETag, Size: p.Size, ModTime: p.ModTime.UTC().Truncate(time.Second),
			}).Output())
		},
	})
	if err != nil {
		return err
	}
	b.InboxDirs = map[string]string{}
	for _, bucket := range c.Inboxes {
		b.InboxDirs[bucket] = b.s3.BucketDir(bucket)
	}
	b.Store, err = object.NewS3(object.Config{Endpoint: b.s3.URL(), AccessKey: operatorName, SecretKey: secrets["s3-operator"], Region: "us-east-1"})
	return err
}

// Stop closes the connections and stops both servers; what they acknowledged is stored.
func (b *Box) Stop(ctx context.Context) error {
	if b.Store != nil {
		b.Store.Close() // idle connections would hold the gateway
	}
	if b.Broker != nil {
		b.Broker.Close()
	}
	group := errgroup.Group{}
	if b.s3 != nil {
		group.Go(func() error { return b.s3.Stop(ctx) })
	}
	if b.nats != nil {
		group.Go(func() error { return b.nats.Stop(ctx) })
	}
	return group.Wait()
}
