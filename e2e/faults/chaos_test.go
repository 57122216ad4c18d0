package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// Variables of the chaos run: how long documents and faults keep coming, and which run it is. The same seed makes the same choices.
const (
	soakEnv = "PDFMILL_SOAK"
	seedEnv = "PDFMILL_SEED"
)

func soakTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv(soakEnv)
	if text == "" && long() {
		return 2 * time.Minute
	}
	if text == "" {
		return 20 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", soakEnv, err)
	}
	return d
}

func seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv(seedEnv)
	if text == "" {
		return rand.Uint64()
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", seedEnv, err)
	}
	return n
}

// TestChaos kills services, NATS and the S3 gateway at random under load.
func TestChaos(t *testing.T) {
	t.Parallel()
	eachReplicas(t, func(t *testing.T, replicas int) {
		n, length := seed(t), soakTime(t)
		t.Logf("seed %d (again with: %s=%d)", n, seedEnv, n)
		choices := rand.New(rand.NewPCG(n, 0))
		c := newCluster(t, replicas, nil)
		all := rig.Samples(t)
		start := time.Now()
		nextDrop, nextFault := start, start.Add(2*time.Second)
		var revive []func()
		docs := 0
		c.within(length+patience, "the time is over", func() bool {
			now := time.Now()
			if now.After(nextDrop) && !c.gateway.gone() && !c.behind() {
				c.drop(fmt.Sprintf("doc-%05d.pdf", docs), document(all, docs))
				docs++
				nextDrop = now.Add(time.Duration(50+choices.IntN(300)) * time.Millisecond)
			}
			if now.After(nextFault) {
				if len(revive) > 0 {
					revive[0]()
					revive = revive[1:]
				} else {
					revive = append(revive, c.strike(choices))
				}
				nextFault = now.Add(time.Duration(300+choices.IntN(2500)) * time.Millisecond)
			}
			return now.Sub(start) > length
		})
		for _, f := range revive {
			f()
		}
		c.settle()
		c.verify(fmt.Sprintf("chaos run of %s, %s", length, withReplicas(replicas)))
	})
}

// mostQueued is how many messages may wait before nothing more is dropped: a machine that is slow today must not be buried in documents.
const mostQueued = 100

// behind reports whether too much waits, or nobody can say.
func (c *cluster) behind() bool {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
	defer cancel()
	jobs, err := c.js.Stream(ctx, "PDF_JOBS")
	return err != nil || jobs.CachedInfo().State.Msgs > mostQueued
}

// strike kills something and returns what brings it back.
func (c *cluster) strike(choices *rand.Rand) (revive func()) {
	switch k := choices.IntN(10); k {
	case 0:
		c.nats.kill()
		c.caused("nats killed")
		return c.startNATS
	case 1:
		c.gateway.kill()
		c.caused("s3 killed")
		return c.startS3
	default:
		s, i := services[k%len(services)], choices.IntN(c.replicas)
		c.replica(s, i).kill()
		c.caused(s + " killed")
		return func() { c.start(s, i, "") }
	}
}
