package faults

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/e2e/checker"
	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/e2e/weather"
)

const (
	inbox  = "inbox"
	bucket = checker.Bucket
	user   = "pdfmill"
	// patience is how long anything may take before a test fails; it measures nothing.
	patience = 3 * time.Minute
)

// cluster is a pipeline of separate processes, and clients of its servers.
type cluster struct {
	t                testing.TB
	dir, secret      string
	natsDir, s3Dir   string
	natsAddr, s3Addr string
	replicas         int
	more             map[string][]string // flags of a service

	js jetstream.JetStream
	s3 *minio.Client

	mu      sync.Mutex
	nats    *process
	gateway *process
	running map[string][]*process
	serial  int
	faults  []injection
	heard   *heard
	dropped map[string]int   // drops by bucket and key
	sizes   map[string]int64 // of the latest drop, in bytes
}

// injection is a fault that was caused.
type injection struct {
	kind string
	at   time.Time
}

// newCluster starts servers and services. Everything is killed when the test ends.
func newCluster(t testing.TB, replicas int, change func(*cluster)) *cluster {
	t.Helper()
	dir := t.TempDir()
	c := &cluster{
		t: t, dir: dir, secret: rand.Text(), natsDir: filepath.Join(dir, "nats"), s3Dir: filepath.Join(dir, "s3"), natsAddr: rig.FreeAddr(t), s3Addr: rig.FreeAddr(t),
		replicas: replicas, more: map[string][]string{}, running: map[string][]*process{}, dropped: map[string]int{}, sizes: map[string]int64{},
	}
	if change != nil {
		change(c)
	}
	t.Cleanup(c.end)
	c.startNATS()
	c.startS3()
	c.connect()
	for _, s := range services {
		for i := range replicas {
			c.start(s, i, "")
		}
	}
	c.until("the services have made the topology", func() bool {
		_, err := c.js.KeyValue(t.Context(), "pdf_ends")
		return err == nil
	})
	return c
}

func (c *cluster) startNATS() { c.nats = c.server("nats", c.natsDir, c.natsAddr) }

func (c *cluster) startS3() { c.gateway = c.server("s3", c.s3Dir, c.s3Addr) }

// server starts one of the servers and waits until it listens.
func (c *cluster) server(kind, dir, addr string) *process {
	c.t.Helper()
	p := launch(c.t, kind, binary(c.t, "standalone"), []string{"STANDALONE_SECRET=" + c.secret, weather.Variable + "=" + c.weatherFile(kind)}, kind, dir, addr)
	c.until(kind+" listens", func() bool {
		if p.gone() {
			c.t.Fatalf("%s ended:\n%s", kind, p.log)
		}
		return bytes.Contains([]byte(p.log.String()), []byte("listening"))
	})
	return p
}

func (c *cluster) connect() {
	c.t.Helper()
	nc, err := nats.Connect("nats://"+c.natsAddr, nats.UserInfo(user, c.secret), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	if c.js, err = jetstream.New(nc); err != nil {
		c.t.Fatal(err)
	}
	c.heard = hear(c.t, nc)
	if c.s3, err = minio.New(c.s3Addr, &minio.Options{Creds: credentials.NewStaticV4(user, c.secret, "")}); err != nil {
		c.t.Fatal(err)
	}
}

// start starts replica i of a service in the place of the one before, to die at a crash point ("" for none).
func (c *cluster) start(service string, i int, point string) *process {
	c.t.Helper()
	c.mu.Lock()
	c.serial++
	scratch := filepath.Join(c.dir, fmt.Sprintf("scratch-%d", c.serial))
	c.mu.Unlock()
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		c.t.Fatal(err)
	}
	args := []string{"--nats-url", "nats://" + c.natsAddr, "--nats-user", user, "--s3-endpoint", "http://" + c.s3Addr, "--s3-access-key", user, "--http-addr", "127.0.0.1:0"}
	switch service {
	case "ingest":
		args = append(args, "--scan-interval", "300ms")
	case "validator":
		args = append(args, "--validator-concurrency", "1")
	case "gpu-runner":
		args = append(args, "--workers", "1", "--scratch", filepath.Join(scratch, "runner"))
	}
	p := launch(c.t, fmt.Sprintf("%s-%d", service, i), binary(c.t, service), []string{
		"PDFMILL_NATS_PASSWORD=" + c.secret, "PDFMILL_S3_SECRET_KEY=" + c.secret, "TMPDIR=" + scratch, "PDFMILL_CRASHPOINT=" + point, weather.Variable + "=" + c.weatherFile(service),
	}, append(args, c.more[service]...)...)
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.running[service]) <= i {
		c.running[service] = append(c.running[service], nil)
	}
	c.running[service][i] = p
	return p
}

func (c *cluster) replica(service string, i int) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running[service][i]
}

// caused notes a fault.
func (c *cluster) caused(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, injection{kind, time.Now()})
}

// drop puts a document into the inbox, and tries again while S3 is away.
func (c *cluster) drop(key string, content []byte) {
	c.t.Helper()
	c.until("put "+key, func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
		defer cancel()
		_, err := c.s3.PutObject(ctx, inbox, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
		return err == nil
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped[inbox+"/"+key]++
	c.sizes[inbox+"/"+key] = int64(len(content))
}

// declare makes a folder of the inbox a tenant's, with quotas as in a declaration, and starts every ingest anew: it knows its tenants before it takes anything.
func (c *cluster) declare(name, quotas string) {
	c.t.Helper()
	c.until("the tenant is declared", func() bool {
		kv, err := c.js.KeyValue(c.t.Context(), "pdf_tenants")
		if err == nil {
			_, err = kv.PutString(c.t.Context(), name, fmt.Sprintf(`{"name": %q, "source": "%s/%s/"%s}`, name, inbox, name, quotas))
		}
		return err == nil
	})
	for i := range c.replicas {
		c.replica("ingest", i).kill()
		c.start("ingest", i, "")
	}
}

// until waits for done.
func (c *cluster) until(awaited string, done func() bool) {
	c.t.Helper()
	c.within(patience, awaited, done)
}

func (c *cluster) within(limit time.Duration, awaited string, done func() bool) {
	c.t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	ticker := time.NewTicker(25 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-deadline.C:
			c.t.Fatalf("still waiting after %s: %s", limit, awaited)
		case <-c.t.Context().Done():
			c.t.Fatalf("stopped while waiting: %s", awaited)
		case <-ticker.C:
		}
	}
}

// settle makes everything run again and waits until every drop has ended and no work is left.
func (c *cluster) settle() {
	c.t.Helper()
	if c.nats.gone() {
		c.startNATS()
	}
	if c.gateway.gone() {
		c.startS3()
	}
	for _, s := range services {
		for i := range c.replicas {
			if p := c.replica(s, i); p == nil || p.gone() {
				c.start(s, i, "")
			}
		}
	}
	why, next := "not looked yet", time.Time{}
	defer func() {
		if c.t.Failed() {
			c.t.Log(why)
		}
	}()
	c.until("every drop has ended and the queue is empty", func() bool {
		if time.Now().After(next) { // each look is a consumer that the server keeps for a while
			why, next = c.unsettled(), time.Now().Add(500*time.Millisecond)
		}
		return why == ""
	})
}

// unsettled says what is still to come, "" for nothing.
func (c *cluster) unsettled() string {
	ends, err := checker.Endings(c.t.Context(), c.js)
	if err != nil {
		return err.Error()
	}
	for key := range c.dropped {
		if ends[key] == 0 {
			return key + " has not ended"
		}
	}
	jobs, err := c.js.Stream(c.t.Context(), "PDF_JOBS")
	if err != nil {
		return err.Error()
	}
	if n := jobs.CachedInfo().State.Msgs; n > 0 {
		return fmt.Sprintf("%d messages in PDF_JOBS: %+v", n, jobs.CachedInfo().State)
	}
	return ""
}

func (c *cluster) end() {
	for _, all := range c.running {
		for _, p := range all {
			if p == nil {
				continue
			}
			p.resume()
			p.kill()
			if c.t.Failed() {
				c.t.Logf("%s said at last:\n%s", p.name, tail(p.log.String(), 3000))
			}
		}
	}
	for _, p := range []*process{c.nats, c.gateway} {
		if p != nil {
			p.resume()
			p.kill()
			if c.t.Failed() {
				c.t.Logf("%s said at last:\n%s", p.name, tail(p.log.String(), 2000))
			}
		}
	}
}

var noOptions = minio.PutObjectOptions{}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
