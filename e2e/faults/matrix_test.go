package faults

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// points are the places at which each stage's process is killed.
var points = map[string][]string{
	"ingest":     {"before-work", "after-count", "after-store", "after-publish", "before-ack", "after-ack"},
	"validator":  {"before-work", "after-store", "after-publish", "after-bury", "before-ack", "after-ack"},
	"gpu-runner": {"before-work", "mid-store", "after-store", "after-publish", "before-ack", "after-ack"},
	"publisher":  {"before-work", "after-count", "mid-store", "after-store", "after-publish", "before-ack", "after-ack"},
}

// document is the nth PDF, which nobody has seen before; every fifth is none at all, so that it must fail.
func document(all [][]byte, n int) []byte {
	if n%5 == 4 {
		return fmt.Appendf(nil, "<html>page %d not found</html>", n)
	}
	return rig.Document(all, n)
}

// TestMatrix kills a real process of each stage by SIGKILL exactly at each step of its loop, with one and with two replicas of each service, while documents
// keep coming, every other one a tenant's, and then has the checker look.
func TestMatrix(t *testing.T) {
	t.Parallel()
	eachReplicas(t, func(t *testing.T, replicas int) {
		c := newCluster(t, replicas, nil)
		c.declare("acme", "")
		all := rig.Samples(t)
		var n atomic.Int64
		var group sync.WaitGroup
		for _, s := range services {
			group.Go(func() {
				for _, step := range points[s] {
					point := s + "/" + step
					c.replica(s, 0).kill() // a fault in itself
					armed := c.start(s, 0, point)
					next := time.Now()
					c.until("a "+s+" dies at "+step, func() bool {
						if time.Now().After(next) { // documents, until one gets there
							i := int(n.Add(1)) - 1
							c.drop(fmt.Sprintf("%sdoc-%04d.pdf", []string{"", "acme/"}[i%2], i), document(all, i))
							next = time.Now().Add(time.Second)
						}
						return armed.gone()
					})
					if !armed.diedAt(point) {
						t.Errorf("%s ended otherwise: %s\n%s", point, armed.cmd.ProcessState, tail(armed.log.String(), 2000))
					}
					c.caused(point)
					c.start(s, 0, "")
				}
			})
		}
		group.Wait()
		c.settle()
		c.verify("fault matrix, " + withReplicas(replicas))
		c.verifyCounts("acme")
	})
}
