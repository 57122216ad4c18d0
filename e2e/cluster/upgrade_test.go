//go:build cluster && upgrade

package cluster

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// BeforeVariable names the environment variable that names the folder with the binaries of the earlier version.
const BeforeVariable = "PDFMILL_BEFORE"

// TestUpgrade has an earlier version and this one work on one queue: the whole pipeline is the earlier one's, then every second stage is, then every other, then
// both versions run side by side in each stage, and in the end all is this one's.
func TestUpgrade(t *testing.T) {
	before := os.Getenv(BeforeVariable)
	if before == "" {
		t.Fatalf("%s is not set: run make test-upgrade", BeforeVariable)
	}
	old := func(name string) string { return filepath.Join(before, name) }
	isOld := func(string, int) bool { return true }
	c := build(t, func(c *cluster) {
		c.binary = func(name string, i int) string {
			if i >= 0 && isOld(name, i) { // the topology is the new version's from the beginning, as docs/cluster.md says
				return old(name)
			}
			return rig.Binary(t, name)
		}
	})
	l := &load{cluster: c, samples: rig.Samples(t)}
	phase := func(name string, next func(name string, i int) bool) {
		t.Run(name, func(t *testing.T) {
			c.t = t
			defer func() { c.t = c.root }()
			was := isOld
			isOld = next
			l.during(func() { // while documents come, as in life
				for i := range c.hosts {
					for _, s := range services {
						if was("pdfmill-"+s, i) != next("pdfmill-"+s, i) {
							c.running[s][i].Stop(time.Minute)
							c.start(s, i)
						}
					}
				}
				c.ready()
			})
			l.some(8) // not meanwhile: two that drop at once give one name to both
			c.settle()
			c.verify(name)
		})
	}
	first := []string{"pdfmill-ingest", "pdfmill-gpu-runner"}
	phase("all of the earlier version", isOld)
	phase("its ingest and gpu-runner", func(name string, _ int) bool { return slices.Contains(first, name) })
	phase("its validator and publisher", func(name string, _ int) bool { return !slices.Contains(first, name) })
	phase("side by side", func(_ string, i int) bool { return i == 0 })
	phase("all of this version", func(string, int) bool { return false })
}
