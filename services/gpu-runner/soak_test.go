package gpurunner

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/gpusim"
	"github.com/pdfmill/pdfmill/services/gpu-runner/schedule"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// soakEnv says how many hours of a card's work the soak is worth; unset: a few minutes.
const soakEnv = "PDFMILL_GPU_SOAK"

// What the soak takes for the usual rate of faults is one in 5,000 ranges that a page causes, and as many workers that die of something else. It has
// them a hundred times as often; strangers come and the card is lent besides.
const soakEvery = 50

// soakFaults are what pages do to their workers.
var soakFaults = []string{
	"device-assert", "illegal-access", "xid", "ecc", "crash", "killed", "exit", "oom", "oom-large-batch", "host-oom", "model-bug", "engine-error",
	"unhealthy", "leak", "device-assert!", "model-bug!",
}

// soak is a load under faults.
type soak struct {
	*plant
	random *rand.Rand
	mu     sync.Mutex

	documents, pages, ranges, faults, kills, changes, degraded, lost atomic.Int64
}

// Hours of work with faults a hundred times as often as usual, by real processes of the real runner: every page has an outcome, good pages come through,
// and nothing is left behind: no process, no descriptor, no scratch file, no reservation, no memory of the card.
func TestSoakUnderFaults(t *testing.T) {
	hours := 1.0 / 60
	if long := os.Getenv(soakEnv); long != "" {
		var err error
		if hours, err = strconv.ParseFloat(long, 64); err != nil {
			t.Fatalf("%s=%s: it is a number of hours", soakEnv, long)
		}
	}
	before := descriptors(t)
	s := &soak{random: rand.New(rand.NewPCG(6, 100))} //nolint:gosec // a test
	t.Cleanup(func() {                                // runs when the plant has stopped
		pipelinetest.Eventually(t, "no child lives", func() bool { return len(children(t)) == 0 })
		pipelinetest.Eventually(t, "no descriptor is left open", func() bool { return descriptors(t) <= before })
	})
	s.plant = newPlant(t, func(c *Config, _ *schedule.Config) { c.Silence = 20 * time.Second }, gpusim.DeviceConfig{Total: 24 * gib, TimeScale: 0.001})
	t.Cleanup(func() { // runs before the plant stops: workers are there, jobs are not
		for _, b := range s.scheduler.Snapshot() {
			if b.Jobs != 0 || b.Reserved != 0 {
				t.Errorf("booked after the last job: %+v", b)
			}
		}
	})

	// What such a card does in an hour when conversions that run beside each other share it (the saturating law of docs/vram.md): hours are so many pages, converted as
	// quickly as this machine can.
	const pagesAnHour = 30_500
	goal := int64(hours * pagesAnHour)
	late := func() bool { // what was done until then is looked at, too
		end, limited := t.Deadline()
		return limited && time.Until(end) < 2*patience
	}
	ctx, stop := context.WithCancel(t.Context())
	var trouble, clients sync.WaitGroup
	trouble.Go(func() { s.trouble(ctx) })
	for range 6 {
		clients.Go(func() {
			for s.pages.Load() < goal && !t.Failed() && !late() {
				s.convertOne()
			}
		})
	}
	clients.Wait()
	stop()
	trouble.Wait()
	processes := 0
	for _, w := range s.workers() {
		processes += w.Restarts + 1
	}
	t.Logf("%.2f h of a card's work: %d documents, %d pages, %d ranges and pieces; %d bad pages, %d workers killed, %d changes of strangers and loans; "+
		"%d pages degraded, %d lost, all of them bad; %d processes", float64(s.pages.Load())/pagesAnHour, s.documents.Load(), s.pages.Load(), s.ranges.Load(), s.faults.Load(),
		s.kills.Load(), s.changes.Load(), s.degraded.Load(), s.lost.Load(), processes)
}

// convertOne makes a document up, has it converted, and looks at what became of each page.
func (s *soak) convertOne() {
	s.mu.Lock()
	n := 1 + s.random.IntN(10)
	if s.random.IntN(3) == 0 {
		n = 32
	}
	bad, fault := 0, ""
	if s.random.IntN(soakEvery) == 0 {
		bad, fault = 1+s.random.IntN(n), soakFaults[s.random.IntN(len(soakFaults))]
		s.faults.Add(1)
	}
	kill := s.random.IntN(soakEvery) == 0
	s.mu.Unlock()

	texts := make([]string, n)
	for i := range texts {
		texts[i] = "all is well"
		if i+1 == bad {
			texts[i] = "pdfmill-sim:" + fault
		}
	}
	number := s.documents.Add(1)
	if number%500 == 0 {
		s.t.Logf("%d documents, %d pages", number, s.pages.Load())
	}
	path := s.document(fmt.Sprintf("soak-%d", number), texts...)
	defer os.Remove(path)
	if kill {
		s.kill()
	}
	o := s.convert(path, n)
	s.pages.Add(int64(n))
	for _, times := range o.tries {
		s.ranges.Add(int64(times))
	}
	for page, became := range o.pages {
		switch {
		case became == event.PageOK:
		case became == event.PageDegraded: // a bad page, or one whose worker was killed again and again
			s.degraded.Add(1)
		case page == bad && strings.HasSuffix(fault, "!"):
			s.lost.Add(1)
		default:
			s.t.Errorf("%s, %d pages, page %d does %q: page %d became %s (%v, %v)", filepath.Base(path), n, bad, fault, page, became, o.tries, o.classes)
		}
	}
}

// kill ends a worker from outside, whatever it does.
func (s *soak) kill() {
	for _, w := range s.workers() {
		if w.PID == 0 {
			continue
		}
		s.mu.Lock()
		hit := s.random.IntN(2) == 0
		s.mu.Unlock()
		if hit && (w.State == supervise.Busy || w.State == supervise.Idle) {
			_ = unix.Kill(w.PID, unix.SIGKILL)
			s.kills.Add(1)
			return
		}
	}
}

// trouble has strangers come and go, and lends the card, until ctx ends; each change comes when some more documents are done.
func (s *soak) trouble(ctx context.Context) {
	defer s.scheduler.TakeBack("")
	random := rand.New(rand.NewPCG(7, 100)) //nolint:gosec // a test
	for next := int64(50); ctx.Err() == nil; {
		if s.documents.Load() < next {
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond): // this polls, it waits for nothing
			}
			continue
		}
		next += 100
		s.changes.Add(1)
		switch random.IntN(4) {
		case 0:
			s.broker.Strangers("sim-0", random.Int64N(12*gib))
		case 1, 2:
			s.broker.Strangers("sim-0", 0)
		case 3:
			if _, err := s.scheduler.Lend(ctx, "", time.Hour); err != nil && ctx.Err() == nil {
				s.t.Errorf("lend: %v", err)
			}
			s.scheduler.TakeBack("")
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// children lists the processes that this one has started and that still run.
func children(t *testing.T) (pids []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		raw, err := os.ReadFile(file) //nolint:gosec // of /proc
		if err != nil {
			continue // it has just ended
		}
		text := string(raw)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		if pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file))); fields[0] != "Z" && fields[1] == strconv.Itoa(os.Getpid()) {
			pids = append(pids, pid)
		}
	}
	return pids
}
