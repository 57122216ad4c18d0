package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/e2e/checker"
	"github.com/pdfmill/pdfmill/e2e/rig"
)

// long reports whether this is the long form, of which figures are made.
func long() bool { return os.Getenv(FiguresDir) != "" }

// outage is how long a server stays away: 30 s in the long form.
func outage() time.Duration {
	if long() {
		return 30 * time.Second
	}
	return 6 * time.Second
}

// eachReplicas runs a scenario with one and with two replicas of each service.
func eachReplicas(t *testing.T, scenario func(t *testing.T, replicas int)) {
	t.Helper()
	for _, replicas := range []int{1, 2} {
		t.Run(withReplicas(replicas), func(t *testing.T) {
			t.Parallel()
			scenario(t, replicas)
		})
	}
}

func withReplicas(n int) string {
	if n == 1 {
		return "1 replica of each service"
	}
	return fmt.Sprintf("%d replicas of each service", n)
}

// load drops n documents.
func (c *cluster) load(from, n int) {
	c.t.Helper()
	all := rig.Samples(c.t)
	for i := from; i < from+n; i++ {
		c.drop(fmt.Sprintf("doc-%04d.pdf", i), document(all, i))
	}
}

// pass waits.
func (c *cluster) pass(d time.Duration) {
	c.t.Helper()
	over := time.Now().Add(d)
	c.until("time passes", func() bool { return time.Now().After(over) })
}

// TestServersAway: each server in turn is killed and stays away for a while, then is frozen for as long, under load.
func TestServersAway(t *testing.T) {
	t.Parallel()
	eachReplicas(t, func(t *testing.T, replicas int) {
		c := newCluster(t, replicas, nil)
		c.load(0, 10)
		c.gateway.kill()
		c.caused("s3 away")
		c.pass(outage())
		c.startS3()
		c.load(10, 10)
		c.nats.kill()
		c.caused("nats away")
		c.load(20, 5) // the inbox takes documents all the same
		c.pass(outage())
		c.startNATS()
		c.load(25, 10)
		for _, p := range []*process{c.gateway, c.nats} {
			p.pause()
			c.caused(p.name + " frozen")
			c.pass(outage() / 2)
			p.resume()
		}
		c.settle()
		v := c.verify(fmt.Sprintf("servers away %s each, then frozen, %s", outage(), withReplicas(replicas)))
		if want := v.Sources / 5; v.Failed != want {
			t.Errorf("%d documents failed, want only the %d that are no PDF", v.Failed, want)
		}
	})
}

// fill takes all space of the file system of dir and returns what gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for block := make([]byte, 64<<10); ; {
		if _, err := file.Write(block); err != nil {
			break // full
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// TestFullDisks: the disk under S3 is full for a while, then the one under NATS.
func TestFullDisks(t *testing.T) {
	t.Parallel()
	eachReplicas(t, func(t *testing.T, replicas int) {
		base := t.TempDir()
		c := newCluster(t, replicas, func(c *cluster) {
			c.s3Dir, c.natsDir = filepath.Join(base, "s3"), filepath.Join(base, "nats")
			small(t, c.s3Dir, "64m")
			small(t, c.natsDir, "64m")
		})
		c.load(0, 10)
		free := fill(t, c.s3Dir)
		c.caused("disk under s3 full")
		c.pass(outage())
		free()
		c.load(10, 10)
		free = fill(t, c.natsDir)
		c.caused("disk under nats full")
		c.load(20, 5)
		c.pass(outage())
		free()
		c.nats.terminate() // a NATS server that ran out of space has put JetStream out of work until it is started again
		c.startNATS()
		c.load(25, 5)
		c.settle()
		c.verify("full disks under S3 and NATS, " + withReplicas(replicas))
	})
}

// TestSameFileManyTimes: a hundred drops of one file at once are one conversion and a hundred ends.
func TestSameFileManyTimes(t *testing.T) {
	t.Parallel()
	eachReplicas(t, func(t *testing.T, replicas int) {
		c := newCluster(t, replicas, nil)
		content := document(rig.Samples(t), 0)
		var group sync.WaitGroup
		for i := range 100 {
			group.Go(func() { c.drop(fmt.Sprintf("same-%03d.pdf", i), content) })
		}
		group.Wait()
		c.caused("the same file 100 times at once")
		// And a slow subscriber, who must hold up nobody and miss nothing.
		slow, err := c.js.CreateOrUpdateConsumer(t.Context(), "PDF_EVENTS", jetstream.ConsumerConfig{
			Durable: "slow", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 1, AckWait: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.settle()
		v := c.verify("the same file 100 times at once, slow subscriber, " + withReplicas(replicas))
		jobs, seen := map[string]bool{}, 0
		for seen < 100 {
			m, err := slow.Next(jetstream.FetchMaxWait(10 * time.Second))
			if err != nil {
				t.Fatalf("the slow subscriber got %d events: %v", seen, err)
			}
			var e checker.Told
			if err := json.Unmarshal(m.Data(), &e); err != nil {
				t.Fatal(err)
			}
			jobs[e.Job] = true
			seen++
			if err := m.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if len(jobs) != 1 || v.Converted != 100 {
			t.Errorf("%d jobs and %d conversions announced, want 1 and 100", len(jobs), v.Converted)
		}
	})
}

// TestSourceChangesUnderway: what was accepted is converted whatever becomes of the source; what was deleted before it could be read fails where it can be seen.
func TestSourceChangesUnderway(t *testing.T) {
	t.Parallel()
	eachReplicas(t, func(t *testing.T, replicas int) {
		c := newCluster(t, replicas, nil)
		all := rig.Samples(t)
		for i := range replicas {
			c.replica("validator", i).terminate() // nobody validates meanwhile
		}
		c.drop("overwritten.pdf", document(all, 0))
		c.drop("deleted.pdf", document(all, 1))
		c.until("both are accepted", func() bool {
			objects, err := checker.List(t.Context(), c.s3, bucket)
			jobs, e := c.js.Stream(t.Context(), "PDF_JOBS")
			return err == nil && e == nil && len(objects) == 2 && jobs.CachedInfo().State.Msgs == 2
		})
		c.drop("overwritten.pdf", document(all, 2))
		c.caused("source overwritten")
		if err := c.s3.RemoveObject(t.Context(), inbox, "deleted.pdf", minio.RemoveObjectOptions{}); err != nil {
			t.Fatal(err)
		}
		c.caused("source deleted")
		c.until("the new state is accepted", func() bool {
			jobs, err := c.js.Stream(t.Context(), "PDF_JOBS")
			return err == nil && jobs.CachedInfo().State.Msgs == 3
		})
		hint := fmt.Sprintf(`{"EventName":"s3:ObjectCreated:Put","Key":"inbox/never.pdf","Records":[{"eventTime":%q,"s3":{"bucket":{"name":"inbox"},"object":{"key":"never.pdf","size":7,"eTag":"x"}}}]}`,
			time.Now().UTC().Format(time.RFC3339))
		if _, err := c.js.Publish(t.Context(), "pdf.dropped", []byte(hint)); err != nil {
			t.Fatal(err)
		}
		c.dropped[inbox+"/never.pdf"] = 1 // as MinIO tells of an object that is gone when ingest comes to it
		c.caused("source deleted before it was read")
		for i := range replicas {
			c.start("validator", i, "")
		}
		c.settle()
		if v := c.verify("source overwritten and deleted under way, " + withReplicas(replicas)); v.Converted != 3 || v.Failed != 1 {
			t.Errorf("%d converted and %d failed, want 3 and 1", v.Converted, v.Failed)
		}
	})
}

// TestTheCheckerSees: what the checker is there to find, it finds.
func TestTheCheckerSees(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	c.load(0, 1)
	c.settle()
	if v, err := checker.Check(t.Context(), c.js, c.s3, c.dropped); err != nil || len(v.Faults) != 0 {
		t.Fatalf("%v, %v", v.Faults, err)
	}
	finds := func(what string) {
		t.Helper()
		if v, err := checker.Check(t.Context(), c.js, c.s3, c.dropped); err != nil || len(v.Faults) == 0 {
			t.Errorf("%s is not found: %v", what, err)
		}
	}
	put := func(key string, data []byte) {
		t.Helper()
		if _, err := c.s3.PutObject(t.Context(), bucket, key, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	objects, err := checker.List(t.Context(), c.s3, bucket)
	if err != nil {
		t.Fatal(err)
	}
	for key := range objects {
		if filepath.Ext(key) == ".png" {
			continue // the picture of a first page: nothing that is announced says what is in it
		}
		was, err := checker.Get(t.Context(), c.s3, bucket, key)
		if err != nil {
			t.Fatal(err)
		}
		put(key, was[:len(was)/2])
		finds("half of " + key)
		if filepath.Base(key) == "document.md" || filepath.Base(key) == "manifest.json" {
			if err := c.s3.RemoveObject(t.Context(), bucket, key, minio.RemoveObjectOptions{}); err != nil {
				t.Fatal(err)
			}
			finds("the loss of " + key)
		}
		put(key, was)
	}
	c.dropped[inbox+"/lost.pdf"] = 1
	finds("a lost drop")
	delete(c.dropped, inbox+"/lost.pdf")
	for _, p := range c.running["publisher"] {
		p.kill()
	}
	if _, err := c.js.Publish(t.Context(), "pdf.rendered", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	finds("work left behind")
}
