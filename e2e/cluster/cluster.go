//go:build linux

package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/e2e/checker"
	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/e2e/weather"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// patience is how long anything may take before the test fails; it measures nothing.
const patience = 5 * time.Minute

// notificationARN is by which MinIO calls the NATS target of docs/cluster.md.
const notificationARN = "arn:minio:sqs::PDFMILL:nats"

// services are the stages' processes.
var services = []string{"ingest", "validator", "gpu-runner", "publisher"}

// cluster is a whole installation.
type cluster struct {
	root       testing.TB // to whom processes belong
	t          testing.TB // the test that goes on
	dir, users string
	rootSecret string
	ca         *pipelinetest.CA
	network    *network
	nats       []*server
	s3host     *store
	hosts      []*host // of the services, one replica each
	inboxes    []string
	kmsKey     string // by which MinIO encrypts
	password   string // that opens nothing, but is tried on locked documents
	llmKey     string // of a language model that nobody asks

	natsServer, minio, mcClient string
	binary                      func(name string, host int) string // of pdfmill's programs; the operator's host is -1
	weather                     func(host int) string              // the file with that of a host; nil: fair everywhere

	js jetstream.JetStream // as admin
	s3 *minio.Client       // as root

	mu          sync.Mutex
	running     map[string][]*rig.Process // by service, one a host
	everStarted map[string][]*rig.Process // by service
	dropped     map[string]int            // drops by bucket and key
	secrets     map[string]string         // of the roles' S3 users
	more        map[string][]string       // environment of a service
}

// build starts servers and services on hosts, and waits until all services are ready.
func build(t testing.TB, change func(*cluster)) *cluster {
	t.Helper()
	dir := t.TempDir()
	c := &cluster{
		root: t, t: t, dir: dir, users: filepath.Join(dir, "users"), rootSecret: rand.Text(), network: newNetwork(t), inboxes: []string{"inbox", "versioned", "shared/team-a/"},
		password: rand.Text(), llmKey: rand.Text(), everStarted: map[string][]*rig.Process{},
		kmsKey:     base64.StdEncoding.EncodeToString([]byte(rand.Text() + rand.Text())[:32]),
		natsServer: rig.Server(t, "nats-server"), minio: rig.Server(t, "minio"), mcClient: rig.Server(t, "mc"),
		binary:  func(name string, _ int) string { return rig.Binary(t, name) },
		running: map[string][]*rig.Process{}, dropped: map[string]int{}, secrets: map[string]string{}, more: map[string][]string{},
	}
	c.ca = pipelinetest.NewCA(t, c.folder("ca"))
	for i := range 3 {
		name := fmt.Sprintf("nats%d", i+1)
		c.nats = append(c.nats, &server{host: c.network.host(name), dir: c.folder(name)})
	}
	c.s3host = &store{host: c.network.host("minio"), dir: c.folder("minio")}
	c.hosts = []*host{c.network.host("left"), c.network.host("right")}
	if change != nil {
		change(c)
	}
	c.s3host.proxy = newProxy(t, c.network.center()+":"+s3Port, c.s3host.address+":"+s3Port)

	c.makeUsers()
	c.configureNATS()
	for _, s := range c.nats {
		c.startNATS(s)
	}
	c.certifyMinIO()
	c.s3 = c.s3Client("root", c.rootSecret)
	c.startMinIO()
	c.reconnect()
	c.pdfmill(0, "topology", "apply", "--replicas", "3", "--engines", "text", "--inbox", strings.Join(c.inboxes, ","))
	c.mc("version", "enable", "mill/versioned")
	c.mc("event", "add", "mill/inbox", notificationARN, "--event", "put")
	for _, role := range append(slices.Clone(services), "user", "operator") {
		c.makeS3User(role)
	}
	for i := range c.hosts {
		for _, s := range services {
			c.start(s, i)
		}
	}
	c.ready()
	return c
}

// reconnect makes the test's own clients anew.
func (c *cluster) reconnect() {
	c.t.Helper()
	js, err := jetstream.New(c.connect("admin"))
	if err != nil {
		c.t.Fatal(err)
	}
	s3 := c.s3Client("root", c.rootSecret)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.js, c.s3 = js, s3
}

// makeUsers has pdfmill write the roles' keys and rights; keys that are there are kept.
func (c *cluster) makeUsers() {
	c.t.Helper()
	args := []string{"topology", "users", c.users, "--replicas", "3", "--engines", "text"}
	for _, inbox := range c.inboxes {
		args = append(args, "--inbox", inbox)
	}
	if out := rig.Run(c.t, args...); out.Code != 0 {
		c.t.Fatalf("%s", out.Stderr)
	}
}

// identity is the folder with all that a role may know, and nothing else.
func (c *cluster) identity(role string) string {
	c.t.Helper()
	dir := filepath.Join(c.dir, "identities", role)
	if _, err := os.Stat(dir); err != nil {
		c.identify(role)
	}
	return dir
}

// identify writes the files of a role as they are now, in place of what was there.
func (c *cluster) identify(role string) {
	c.t.Helper()
	dir := c.folder(filepath.Join("identities", role))
	c.ca.Issue(dir, "cert")
	c.copyFile(c.ca.File, filepath.Join(dir, "ca.pem"))
	c.copyFile(filepath.Join(c.users, role+".nk"), filepath.Join(dir, role+".nk"))
	c.write(filepath.Join(c.folder(filepath.Join("identities", role, "secrets")), "canary"), c.password+"\ncorrect horse\n")
	c.write(filepath.Join(dir, "llm.json"), fmt.Sprintf(`{"model": {"key": %q}}`, c.llmKey))
}

// makeS3User makes a user of MinIO with the policy that pdfmill wrote for its role; again, it gives it another secret.
func (c *cluster) makeS3User(role string) {
	c.t.Helper()
	secret := rand.Text()
	c.mc("admin", "user", "add", "mill", role, secret)
	if c.secrets[role] == "" {
		c.mc("admin", "policy", "create", "mill", "pdfmill-"+role, filepath.Join(c.users, role+"-s3-policy.json"))
		c.mc("admin", "policy", "attach", "mill", "pdfmill-"+role, "--user", role)
	}
	c.secrets[role] = secret
	c.write(filepath.Join(c.identity(role), "s3-secret"), secret+"\n")
}

// environment is how a role's process finds its servers and says who it is.
func (c *cluster) environment(role string) []string {
	dir := c.identity(role)
	return []string{
		"PDFMILL_NATS_URL=" + c.natsURL(), "PDFMILL_NATS_NKEY=" + filepath.Join(dir, role+".nk"), "PDFMILL_NATS_CA=" + filepath.Join(dir, "ca.pem"),
		"PDFMILL_NATS_CERT=" + filepath.Join(dir, "cert.pem"), "PDFMILL_NATS_KEY=" + filepath.Join(dir, "cert-key.pem"),
		"PDFMILL_S3_ENDPOINT=" + c.s3Endpoint(), "PDFMILL_S3_CA=" + filepath.Join(dir, "ca.pem"),
		"PDFMILL_S3_ACCESS_KEY=" + role, "PDFMILL_S3_SECRET_KEY_FILE=" + filepath.Join(dir, "s3-secret"),
	}
}

// start starts the replica of a service on a host, in the place of the one before.
func (c *cluster) start(service string, i int) {
	c.t.Helper()
	h := c.hosts[i]
	scratch, err := os.MkdirTemp(c.dir, service+"-"+h.name+"-")
	if err != nil {
		c.t.Fatal(err)
	}
	env := append(c.environment(service), "PDFMILL_TOPOLOGY=wait", "PDFMILL_REPLICAS=3", "PDFMILL_HTTP_ADDR="+h.address+":0", "TMPDIR="+scratch,
		"PDFMILL_LOG_LEVEL=debug", "PDFMILL_SECRETS_DIR="+filepath.Join(c.identity(service), "secrets"))
	switch service {
	case "ingest":
		env = append(env, "PDFMILL_SCAN_INTERVAL=1s", "PDFMILL_INBOX="+strings.Join(c.inboxes, ","))
	case "validator":
		env = append(env, "PDFMILL_VALIDATOR_CONCURRENCY=1")
	case "gpu-runner":
		env = append(env, "PDFMILL_WORKERS=1", "PDFMILL_MARKER_LLM="+filepath.Join(c.identity(service), "llm.json"), "PDFMILL_SCRATCH="+filepath.Join(scratch, "runner"))
	}
	if i == 0 { // one host encrypts with a key by its name, the other with the store's, and has temporary credentials
		env = append(env, "PDFMILL_S3_SSE=kms:"+kmsKeyName)
	} else {
		env = append(env, "PDFMILL_S3_SSE=s3", "PDFMILL_S3_STS="+c.s3Endpoint())
	}
	if i == 1 && c.network.real { // names of buckets in those of hosts, which need to be known
		env = append(env, "PDFMILL_S3_STYLE=virtual", "PDFMILL_S3_ENDPOINT=https://"+virtualDomain+":"+s3Port)
	}
	if c.weather != nil {
		env = append(env, weather.Variable+"="+c.weather(i))
	}
	env = append(env, c.more[service]...)
	p := rig.StartCommand(c.root, service+" on "+h.name, h.command(env, c.binary("pdfmill-"+service, i)))
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.running[service]) <= i {
		c.running[service] = append(c.running[service], nil)
	}
	c.running[service][i] = p
	c.everStarted[service] = append(c.everStarted[service], p)
}

// ready waits until every service is.
func (c *cluster) ready() {
	c.t.Helper()
	for _, s := range services {
		for _, p := range c.running[s] {
			c.until(p.Name()+" is ready", func() bool {
				if p.Gone() {
					c.t.Fatalf("%s ended:\n%s", p.Name(), p.Log())
				}
				return rig.Ready(c.t, p)
			})
		}
	}
}

// pdfmill runs the operator's binary as admin; it must exit with code.
func (c *cluster) pdfmill(code int, args ...string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.binary("pdfmill", -1), args...)
	env := c.environment("admin")
	cmd.Env = append(append(os.Environ(), env[:7]...), "PDFMILL_NATS_INBOX_PREFIX="+inboxPrefix("admin"), "PDFMILL_S3_ACCESS_KEY=root", "PDFMILL_S3_SECRET_KEY="+c.rootSecret)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code says it
	if got := cmd.ProcessState.ExitCode(); got != code {
		c.t.Fatalf("pdfmill %q: exit %d, want %d\n%s%s", args, got, code, out.String(), errs.String())
	}
	return out.String()
}

// drop puts a document into an inbox with the stock client, and tries again while S3 is away.
func (c *cluster) drop(bucket, key string, content []byte) {
	c.t.Helper()
	c.until("put "+bucket+"/"+key, func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
		defer cancel()
		c.mu.Lock()
		s3 := c.s3
		c.mu.Unlock()
		_, err := s3.PutObject(ctx, bucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
		return err == nil
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped[bucket+"/"+key]++
}

// until waits for done.
func (c *cluster) until(awaited string, done func() bool) {
	c.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(25 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-deadline.C:
			c.t.Fatalf("still waiting after %s: %s", patience, awaited)
		case <-c.t.Context().Done():
			c.t.Fatalf("stopped while waiting: %s", awaited)
		case <-ticker.C:
		}
	}
}

// pass lets a fault last.
func (c *cluster) pass(d time.Duration) {
	over := time.Now().Add(d)
	c.until("time passes", func() bool { return time.Now().After(over) })
}

// settle waits until every drop has ended and no work is left.
func (c *cluster) settle() {
	c.t.Helper()
	why, next := "not looked yet", time.Time{}
	defer func() {
		if c.t.Failed() {
			c.t.Log(why)
		}
	}()
	c.until("every drop has ended and the queue is empty", func() bool {
		if time.Now().After(next) { // each look is a consumer that the servers keep for a while
			why, next = c.unsettled(), time.Now().Add(500*time.Millisecond)
		}
		return why == ""
	})
}

// unsettled says what is still to come, "" for nothing.
func (c *cluster) unsettled() string {
	jobs := c.look("PDF_JOBS")
	if jobs == nil {
		return "PDF_JOBS does not answer"
	}
	if n := jobs.State.Msgs; n > 0 {
		return fmt.Sprintf("%d messages in PDF_JOBS", n)
	}
	ends, err := checker.Endings(c.t.Context(), c.js)
	if err != nil {
		return err.Error()
	}
	for source, n := range c.dropped {
		if ends[source] < n {
			return fmt.Sprintf("%s was dropped %d times and has ended %d times", source, n, ends[source])
		}
	}
	return ""
}

// verify has the checker look, and fails the test for each fault that it finds.
func (c *cluster) verify(what string) checker.Verdict {
	c.t.Helper()
	var v checker.Verdict
	c.until("the checker can read everything", func() (ok bool) { // while a cluster finds itself again not everything can be
		var err error
		if v, err = checker.Check(c.t.Context(), c.js, c.s3, c.dropped); err != nil {
			c.t.Log(err)
		}
		return err == nil
	})
	for _, f := range v.Faults {
		c.t.Error(f)
	}
	c.t.Logf("%s: %d documents so far (%d converted, %d failed), lost 0, duplicated events %d", what, v.Sources, v.Converted, v.Failed, v.Duplicates)
	return v
}

func (c *cluster) folder(name string) string {
	c.t.Helper()
	dir := filepath.Join(c.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		c.t.Fatal(err)
	}
	return dir
}

func (c *cluster) write(path, content string) {
	c.t.Helper()
	temp := path + ".new" // whoever reads it finds the old one or the new one
	if err := os.WriteFile(temp, []byte(content), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(temp, path); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) copyFile(from, to string) {
	c.t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(to, string(content))
}
