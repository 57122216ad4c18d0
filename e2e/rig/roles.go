package rig

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/e2e/weather"
)

// Roles is a pipeline of separate processes in which everybody is its own user of stock servers, with the rights that pdfmill writes for it, and all that they ask for is noted.
type Roles struct {
	*Pipeline // as the operator
	Seen      Seen
	Users     string // the folder with keys and policies

	taps    map[string]string // where each role finds NATS
	weather string            // the file with NATS' own clock
	files   string            // of the store
	secrets map[string]string // of the store's users
	running map[string]*Process
}

// EachAsItself starts the servers, and makes the topology; services are for the test to start. Arguments are those of topology users and apply.
func EachAsItself(t testing.TB, data string, args ...string) *Roles {
	t.Helper()
	p := &Roles{
		Pipeline: &Pipeline{t: t, Endpoints: Endpoints{S3AccessKey: "user", InboxBucket: "inbox"}}, Users: filepath.Join(data, "users"),
		taps: map[string]string{}, secrets: map[string]string{"root": rand.Text()}, running: map[string]*Process{}, weather: filepath.Join(data, "weather"), files: filepath.Join(data, "s3"),
	}
	if out := Run(t, append([]string{"topology", "users", p.Users}, args...)...); out.Code != 0 {
		t.Fatal(out.Stderr)
	}
	config, address := filepath.Join(data, "nats.conf"), FreeAddr(t)
	if err := os.WriteFile(config, fmt.Appendf(nil, `
listen: %q
jetstream { store_dir: %q }
accounts {
  PDFMILL { jetstream: enabled, include "users/nats-users.conf", include "users/nats-imports.conf" }
  include "users/nats-accounts.conf"
}
`, address, filepath.Join(data, "nats")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := weather.Build(data, "github.com/nats-io/nats-server/v2"); err != nil {
		t.Fatal(err)
	}
	p.SetClock(0)
	p.servers = append(p.servers, Start(t, []string{weather.Variable + "=" + p.weather}, filepath.Join(data, "nats-server"), "--config", config))
	p.startGateway(data)
	for _, role := range []string{"ingest", "validator", "gpu-runner", "publisher", "user", "operator", "admin", "gateway", "tenant-acme"} {
		p.taps[role] = p.Seen.tapNATS(t, role, address)
	}
	p.NATSURL, p.S3SecretKey, p.env = p.taps["user"], p.secrets["user"], p.As("operator")
	p.servers[0].Await("the streams are made", func() bool {
		return Command{Args: append([]string{"topology", "apply"}, args...), Env: p.As("admin")}.Run(t).Code == 0
	})
	return p
}

// SetClock sets the clock of the NATS server, and nobody else's, by so much.
func (p *Roles) SetClock(step time.Duration) {
	p.t.Helper()
	if err := weather.Set(p.weather, step, 0); err != nil {
		p.t.Fatal(err)
	}
}

// Up starts a service, and waits until it is ready.
func (p *Roles) Up(service string, args ...string) {
	p.t.Helper()
	one := Start(p.t, p.As(service), Binary(p.t, "pdfmill-"+service), args...)
	p.running[service] = one
	one.Await("ready", func() bool { return Ready(p.t, one) })
}

// Down ends a service.
func (p *Roles) Down(service string) {
	p.t.Helper()
	if code := p.running[service].Stop(time.Minute); code != 0 {
		p.t.Errorf("%s: exit %d after SIGTERM", service, code)
	}
}

// Store is a stock client of the store with the account of a role, or "root".
func (p *Roles) Store(role string) *minio.Client {
	p.t.Helper()
	client, err := minio.New(strings.TrimPrefix(p.S3Endpoint, "http://"), &minio.Options{Creds: credentials.NewStaticV4(role, p.secrets[role], "")})
	if err != nil {
		p.t.Fatal(err)
	}
	return client
}

// Age has everything in a bucket whose key begins so look as old as that.
func (p *Roles) Age(bucket, prefix string, by time.Duration) {
	p.t.Helper()
	then := time.Now().Add(-by)
	err := filepath.WalkDir(filepath.Join(p.files, bucket, prefix), func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, then, then))
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// Log is what a service that was started last has said.
func (p *Roles) Log(service string) string { return p.running[service].Log() }

// Connect is a stock client of NATS with the key of a role, and the prefix of its inbox, "" for its own.
func (p *Roles) Connect(role, prefix string) jetstream.JetStream {
	p.t.Helper()
	seed, err := nats.NkeyOptionFromSeed(filepath.Join(p.Users, role+".nk"))
	if err != nil {
		p.t.Fatal(err)
	}
	nc, err := nats.Connect(p.taps[role], seed, nats.CustomInboxPrefix(cmp.Or(prefix, inboxPrefix(role))), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { p.t.Errorf("%s: %v", role, err) }))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		p.t.Fatal(err)
	}
	return js
}

func inboxPrefix(role string) string {
	if role == "user" || role == "gateway" || strings.HasPrefix(role, "tenant-") {
		return "_INBOX"
	}
	return "_INBOX_" + role
}

// startGateway starts versitygw with a user for each role, and the policies of the buckets.
func (p *Roles) startGateway(data string) {
	p.t.Helper()
	for _, folder := range []string{"s3", "s3-users"} {
		if err := os.MkdirAll(filepath.Join(data, folder), 0o700); err != nil {
			p.t.Fatal(err)
		}
	}
	program, address := Server(p.t, "versitygw"), FreeAddr(p.t)
	root := []string{"ROOT_ACCESS_KEY=root", "ROOT_SECRET_KEY=" + p.secrets["root"]}
	s := Start(p.t, root, program, "--port", address, "--quiet", "--iam-dir", filepath.Join(data, "s3-users"), "posix", p.files)
	p.servers = append(p.servers, s)
	direct := "http://" + address
	client, err := minio.New(address, &minio.Options{Creds: credentials.NewStaticV4("root", p.secrets["root"], "")})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, bucket := range []string{"inbox", "pdfmill"} {
		s.Await("it has the bucket "+bucket, func() bool { return client.MakeBucket(p.t.Context(), bucket, minio.MakeBucketOptions{}) == nil })
	}
	for _, role := range []string{"ingest", "validator", "gpu-runner", "publisher", "user", "operator", "tenant-acme"} { // every principal of the policies
		p.secrets[role] = rand.Text()
		cmd := exec.CommandContext(p.t.Context(), program, "admin", "--access", "root", "--secret", p.secrets["root"], "--endpoint-url", direct,
			"create-user", "--access", role, "--secret", p.secrets[role], "--role", "user")
		if out, err := cmd.CombinedOutput(); err != nil {
			p.t.Fatalf("make the store's user %s: %v\n%s", role, err, out)
		}
	}
	for _, bucket := range []string{"inbox", "pdfmill"} {
		policy, err := os.ReadFile(filepath.Join(p.Users, bucket+"-bucket-policy.json"))
		if err == nil {
			err = client.SetBucketPolicy(p.t.Context(), bucket, string(policy))
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	p.S3Endpoint = p.Seen.tapS3(p.t, direct)
}

// As is how a role's process finds the servers, and says who it is.
func (p *Roles) As(role string) []string {
	account := role
	if p.secrets[role] == "" { // the admin is no user of the store
		account = "root"
	}
	return []string{
		"PDFMILL_NATS_URL=" + p.taps[role], "PDFMILL_NATS_NKEY=" + filepath.Join(p.Users, role+".nk"), "PDFMILL_NATS_INBOX_PREFIX=" + inboxPrefix(role),
		"PDFMILL_S3_ENDPOINT=" + p.S3Endpoint, "PDFMILL_S3_ACCESS_KEY=" + account, "PDFMILL_S3_SECRET_KEY=" + p.secrets[account],
		"PDFMILL_HTTP_ADDR=127.0.0.1:0", "PDFMILL_SCAN_INTERVAL=200ms", "PDFMILL_TOPOLOGY=wait",
	}
}
