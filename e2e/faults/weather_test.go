package faults

import (
	"fmt"
	"testing"
	"time"
)

// TestClockSteps: the clock of every process is set forward and back, under load: a little, and by so much that S3 refuses its signatures.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	eachReplicas(t, func(t *testing.T, replicas int) {
		c := newCluster(t, replicas, nil)
		docs := 0
		more := func(n int) {
			t.Helper()
			c.load(docs, n)
			docs += n
		}
		step := func(by time.Duration, kinds ...string) {
			t.Helper()
			for _, kind := range kinds {
				c.weather(kind, by, 0)
				c.caused(fmt.Sprintf("clock set %+.0f min/%s", by.Minutes(), kind))
			}
		}
		fair := func(kinds ...string) {
			t.Helper()
			for _, kind := range kinds {
				c.weather(kind, 0, 0)
			}
		}
		more(5)
		for _, by := range []time.Duration{-10 * time.Minute, 10 * time.Minute} { // wrong, and S3 takes it: everything goes on
			step(by, services...)
			more(5)
			c.settle()
		}
		for _, by := range []time.Duration{-time.Hour, time.Hour} { // S3 takes nothing from them: they wait until the clock is right
			step(by, services...)
			more(5)
			c.pass(outage() / 2)
			fair(services...)
			c.settle()
			step(by, "nats")
			more(5)
			c.settle()
			fair("nats")
			more(5)
			step(by, "s3") // it takes nothing from anybody
			c.pass(outage() / 2)
			fair("s3")
			c.settle()
		}
		v := c.verify("clock steps, " + withReplicas(replicas))
		if want := v.Sources / 5; v.Failed != want {
			t.Errorf("%d documents failed, want only the %d that are no PDF", v.Failed, want)
		}
	})
}

// TestSlowDisks: the disk under S3, then that under NATS, takes very long for each write and each sync.
func TestSlowDisks(t *testing.T) {
	t.Parallel()
	eachReplicas(t, func(t *testing.T, replicas int) {
		c := newCluster(t, replicas, nil)
		for i, server := range []string{"s3", "nats"} {
			c.weather(server, 0, 50*time.Millisecond)
			c.caused("disk under " + server + " slow (50 ms a write)")
			c.load(5*i, 5)
			c.pass(outage() / 2)
			c.settle()
			c.weather(server, 0, 0)
		}
		v := c.verify("slow disks under S3 and NATS, " + withReplicas(replicas))
		if want := v.Sources / 5; v.Failed != want {
			t.Errorf("%d documents failed, want only the %d that are no PDF", v.Failed, want)
		}
	})
}
