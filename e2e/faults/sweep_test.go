package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// aging makes everything that a sweep may take look two hours old, as the store sees it, and counts what goes. A sweep takes nothing younger than an hour.
type aging struct {
	dir  string            // that is pdfmill's bucket
	seen map[string]string // files there were, by path: kind
	gone map[string]int    // by kind
}

// look ages what is there now.
func (a *aging) look() error {
	now := map[string]bool{}
	err := filepath.WalkDir(a.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return ignoreGone(err)
		}
		name, _ := filepath.Rel(a.dir, path)
		var kind string
		switch {
		case strings.HasPrefix(name, "source/") && strings.HasSuffix(name, ".pdf"):
			kind = "source"
		case strings.Contains(name, "/ranges/") || strings.Contains(name, "/passes/"):
			kind = "result"
		default:
			return nil
		}
		now[path], a.seen[path] = true, kind
		about, err := entry.Info()
		if err != nil || time.Since(about.ModTime()) > 90*time.Minute {
			return ignoreGone(err)
		}
		old := time.Now().Add(-2 * time.Hour)
		return ignoreGone(os.Chtimes(path, old, old))
	})
	for path, kind := range a.seen {
		if !now[path] {
			a.gone[kind]++
			delete(a.seen, path)
		}
	}
	return err
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// rounds is how often each document is dropped at least.
func rounds() int {
	if long() {
		return 6
	}
	return 2
}

// TestSweepUnderLoad: the publishers sweep every second, everything there is looks old, and the same few documents are dropped again and again, so that what is swept
// is what the next drop needs. Nothing that is not converted yet loses anything.
func TestSweepUnderLoad(t *testing.T) {
	t.Parallel()
	eachReplicas(t, func(t *testing.T, replicas int) {
		c := newCluster(t, replicas, func(c *cluster) {
			c.more["publisher"] = []string{"--sweep-every", "1s", "--sweep-ranges-age", "1h", "--sweep-sources-age", "1h"}
		})
		all := rig.Samples(t)
		aged := aging{dir: filepath.Join(c.s3Dir, bucket), seen: map[string]string{}, gone: map[string]int{}}
		const lanes, documents = 3, 12
		var enough atomic.Bool // was swept
		var group sync.WaitGroup
		for lane := range lanes { // each drops, waits for the end, drops again
			group.Go(func() {
				for i := 0; i < rounds()*documents/lanes || !enough.Load(); i++ {
					key := fmt.Sprintf("lane-%d-%04d.pdf", lane, i)
					n := (lane + lanes*i) % documents
					c.drop(key, document(all, n+n/4)) // leaves out what is no PDF
					c.until(key+" ends", func() bool { return c.heard.ends(key) > 0 })
				}
			})
		}
		done := make(chan struct{})
		go func() { group.Wait(); close(done) }()
		c.within(5*patience, "the load is over", func() bool {
			if err := aged.look(); err != nil {
				t.Fatal(err)
			}
			enough.Store(aged.gone["source"] > documents && aged.gone["result"] > documents)
			select {
			case <-done:
				return true
			default:
				return false
			}
		})
		underLoad := fmt.Sprintf("%d sources and %d results swept under load", aged.gone["source"], aged.gone["result"])
		c.settle()
		for i := range replicas {
			c.replica("publisher", i).terminate() // what the checker sees must not go while it looks
		}
		if v := c.verify(underLoad + ", " + withReplicas(replicas)); v.Failed != 0 {
			t.Errorf("%d documents failed", v.Failed)
		}
		c.settle()
		c.until("what nobody needs is swept", func() bool {
			if err := aged.look(); err != nil {
				t.Fatal(err)
			}
			return len(aged.seen) == 0
		})
		t.Logf("%s; in all %v", underLoad, aged.gone)
	})
}
