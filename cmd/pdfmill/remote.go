package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/endpoints"
	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/onebox"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// remote says where the pipeline is that a command talks to: the one whose data directory is named, or one that is described in full.
type remote struct {
	Data string `name:"data" env:"PDFMILL_DATA" default:"pdfmill-data" placeholder:"DIR" help:"Data directory of the running pdfmill up (${default})."`

	NATSURL          string `name:"nats-url" env:"PDFMILL_NATS_URL" placeholder:"URL" group:"A pipeline elsewhere:" help:"NATS server; with it --data is not used."`
	NATSUser         string `name:"nats-user" env:"PDFMILL_NATS_USER" placeholder:"NAME" group:"A pipeline elsewhere:" help:"NATS user; the password comes from PDFMILL_NATS_PASSWORD."`
	NATSPassword     string `name:"nats-password" env:"PDFMILL_NATS_PASSWORD" hidden:""`
	NATSCreds        string `name:"nats-creds" env:"PDFMILL_NATS_CREDS" type:"path" placeholder:"FILE" group:"A pipeline elsewhere:" help:"NATS credentials file."`
	NATSPasswordFile string `name:"nats-password-file" env:"PDFMILL_NATS_PASSWORD_FILE" type:"path" placeholder:"FILE" group:"A pipeline elsewhere:" help:"File with the NATS user's password."`
	NATSNKey         string `name:"nats-nkey" env:"PDFMILL_NATS_NKEY" type:"path" placeholder:"FILE" group:"A pipeline elsewhere:" help:"File with the seed of a NATS nkey."`
	NATSCA           string `name:"nats-ca" env:"PDFMILL_NATS_CA" type:"path" placeholder:"FILE" group:"A pipeline elsewhere:" help:"Certificates (PEM) that the NATS server's must lead to."`
	NATSCert         string `name:"nats-cert" env:"PDFMILL_NATS_CERT" type:"path" placeholder:"FILE" group:"A pipeline elsewhere:" help:"Client certificate (PEM) for NATS."`
	NATSKey          string `name:"nats-key" env:"PDFMILL_NATS_KEY" type:"path" placeholder:"FILE" group:"A pipeline elsewhere:" help:"Private key (PEM) of the client certificate."`
	NATSDomain       string `name:"nats-domain" env:"PDFMILL_NATS_DOMAIN" placeholder:"NAME" group:"A pipeline elsewhere:" help:"JetStream domain."`
	NATSInboxPrefix  string `name:"nats-inbox-prefix" env:"PDFMILL_NATS_INBOX_PREFIX" placeholder:"SUBJECT" group:"A pipeline elsewhere:" help:"Where replies arrive: _INBOX_ and the role, for the users that topology users makes."`
	S3Endpoint       string `name:"s3-endpoint" env:"PDFMILL_S3_ENDPOINT" placeholder:"URL" group:"A pipeline elsewhere:" help:"S3 endpoint."`
	S3AccessKey      string `name:"s3-access-key" env:"PDFMILL_S3_ACCESS_KEY" placeholder:"KEY" group:"A pipeline elsewhere:" help:"S3 access key; the secret key comes from PDFMILL_S3_SECRET_KEY, or from a file."`
	S3SecretKey      string `name:"s3-secret-key" env:"PDFMILL_S3_SECRET_KEY" hidden:""`
	S3SecretKeyFile  string `name:"s3-secret-key-file" env:"PDFMILL_S3_SECRET_KEY_FILE" type:"path" placeholder:"FILE" group:"A pipeline elsewhere:" help:"File with the S3 secret key."`
	S3CA             string `name:"s3-ca" env:"PDFMILL_S3_CA" type:"path" placeholder:"FILE" group:"A pipeline elsewhere:" help:"Certificates (PEM) that the object store's must lead to."`
	S3Region         string `name:"s3-region" env:"PDFMILL_S3_REGION" default:"us-east-1" placeholder:"NAME" group:"A pipeline elsewhere:" help:"S3 region."`
	Inboxes          string `name:"inbox" env:"PDFMILL_INBOX" placeholder:"BUCKET" help:"Inbox to drop into: a bucket, or BUCKET/PREFIX; of several, with commas, the first. Default: the pipeline's first."`
}

// inbox is where to drop: the bucket, "" when none was named, and how keys begin there. The variable is that of the services, which may have several.
func (r remote) inbox() (bucket, prefix string) {
	first, _, _ := strings.Cut(r.Inboxes, ",")
	bucket, prefix, _ = strings.Cut(first, "/")
	return bucket, prefix
}

// endpoints finds the pipeline.
func (r remote) endpoints() (endpoints.Endpoints, error) {
	bucket, prefix := r.inbox()
	if r.NATSURL != "" {
		return endpoints.Endpoints{
			NATSURL: r.NATSURL, NATSUser: r.NATSUser, NATSPassword: r.NATSPassword, NATSCreds: r.NATSCreds,
			S3Endpoint: r.S3Endpoint, S3AccessKey: r.S3AccessKey, S3SecretKey: r.S3SecretKey,
			InboxBucket: cmp.Or(bucket, onebox.InboxBucket), InboxPrefix: prefix, Bucket: lifecycle.DefaultBucket,
		}, nil
	}
	dir, err := filepath.Abs(r.Data)
	if err != nil {
		return endpoints.Endpoints{}, err
	}
	e, err := endpoints.Read(dir)
	if bucket != "" {
		e.InboxBucket, e.InboxPrefix = bucket, prefix
	}
	return e, err
}

// broker connects to the pipeline's NATS server as somebody who may do everything.
func (r remote) broker(ctx context.Context, e endpoints.Endpoints, log *slog.Logger) (*jet.Broker, error) {
	c := jet.Config{
		URL: e.NATSURL, User: e.NATSUser, Password: e.NATSPassword, PasswordFile: r.NATSPasswordFile, Creds: e.NATSCreds, NKey: r.NATSNKey,
		CA: r.NATSCA, Cert: r.NATSCert, Key: r.NATSKey, Domain: r.NATSDomain, InboxPrefix: r.NATSInboxPrefix,
	}
	if e.OperatorUser != "" {
		c.User, c.Password, c.InboxPrefix = e.OperatorUser, e.OperatorPassword, jet.InboxPrefix(jet.RoleOperator)
	}
	if c.URL == "" {
		return nil, usage(fmt.Errorf("%s names no NATS server: the tenant has no account there", filepath.Join(r.Data, endpoints.Name)), `its declaration says so with "account": true`)
	}
	b, err := jet.Connect(ctx, c, "pdfmill-cli", log)
	if errors.Is(err, jet.ErrAway) && r.NATSURL == "" {
		return nil, fmt.Errorf("the pipeline of %s is not there any more: %w (start it again with: pdfmill up --data %s)", r.Data, err, r.Data)
	}
	return b, err
}

// store makes a client of the pipeline's object store.
func (r remote) store(e endpoints.Endpoints) (*object.S3, error) {
	c := object.Config{Endpoint: e.S3Endpoint, AccessKey: e.S3AccessKey, SecretKey: e.S3SecretKey, Region: r.S3Region, CA: r.S3CA}
	if r.NATSURL != "" { // elsewhere; that of a data directory is known
		c.SecretKeyFile = r.S3SecretKeyFile
	}
	return object.NewS3(c)
}

// operatorStore makes a client that may see all of pdfmill's own bucket, and delete there.
func (r remote) operatorStore(e endpoints.Endpoints) (*object.S3, error) {
	if e.S3OperatorKey != "" {
		e.S3AccessKey, e.S3SecretKey = e.S3OperatorKey, e.S3OperatorSecret
	}
	return r.store(e)
}
