package schedule

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/fakechild"
	"github.com/pdfmill/pdfmill/services/gpu-runner/predict"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

func TestMain(m *testing.M) {
	fakechild.Become()
	os.Exit(m.Run())
}

const gib = 1 << 30

// What a worker of these tests holds, and what is reserved for a job.
const (
	resident    = 4 * gib
	reservation = gib
)

// card is a scripted GPU: every process that was started on it holds so much for as long as it lives.
type card struct {
	id    string
	pids  string           // file that its processes write themselves into
	child fakechild.Config // what its processes are

	mu        sync.Mutex
	total     int64
	strangers int64
	each      int64
	xids      []uint64
	hidden    bool // it doesn't say which process holds what

	lazy bool // the engine is: said of the first card
}

func (c *card) set(change func(*card)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

func (c *card) reading() devices.Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := devices.Reading{ID: c.id, Model: "scripted", Kind: devices.KindGPU, Total: c.total, Used: c.strangers, Utilisation: -1, Processes: map[int]int64{}}
	for _, pid := range c.living() {
		r.Processes[pid] = c.each
		r.Used += c.each
	}
	if r.Xids = uint64(len(c.xids)); r.Xids > 0 {
		r.LastXid = c.xids[r.Xids-1]
	}
	if c.hidden {
		r.Processes = nil
	}
	return r
}

func (c *card) living() (pids []int) {
	raw, _ := os.ReadFile(c.pids)
	for _, word := range strings.Fields(string(raw)) {
		stat, err := os.ReadFile("/proc/" + word + "/stat")
		if pid, _ := strconv.Atoi(word); err == nil && !strings.Contains(string(stat), ") Z ") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// cards is a meter of them.
type cards []*card

func (c cards) Read(context.Context) (list []devices.Reading, err error) {
	for _, one := range c {
		list = append(list, one.reading())
	}
	return list, nil
}

func (cards) Close() error { return nil }

// hostMemory is a host with more memory than anybody needs.
type hostMemory struct{}

func (hostMemory) Read(context.Context) ([]devices.Reading, error) {
	return []devices.Reading{{ID: devices.HostID, Model: "memory", Kind: devices.KindHost, Total: 1 << 40, Utilisation: -1, Processes: map[int]int64{}}}, nil
}

func (hostMemory) Close() error { return nil }

// rig is a scheduler with one pool of real processes on scripted cards.
type rig struct {
	t     *testing.T
	s     *Scheduler
	pool  *supervise.Pool
	cards cards
	log   *lines
	dir   string
}

// lines is a log that can be read.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.all.String(), words)
}

// gates are documents that take until they are opened.
var gates = []string{"slow", "slower", "endless"}

const engineName = "null" // what a fakechild says it is

// newRig starts it; change may change the configuration before that.
func newRig(t *testing.T, change func(*Config, *supervise.PoolConfig), all ...*card) *rig {
	t.Helper()
	r := &rig{t: t, cards: all, log: &lines{}, dir: t.TempDir()}
	for i, c := range all {
		c.id, c.pids, c.total, c.each = fmt.Sprintf("card-%d", i), filepath.Join(r.dir, fmt.Sprintf("pids-%d", i)), 24*gib, resident
		c.child.PIDFile = c.pids
		c.child.SlowFile = map[string]string{}
		for _, gate := range gates {
			c.child.SlowFile[gate+".pdf"] = filepath.Join(r.dir, gate)
		}
	}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	sc := Config{
		GPU: r.cards, Host: hostMemory{}, Every: 5 * time.Millisecond, Settle: 100 * time.Millisecond, IdleUnload: time.Hour, Log: log,
		Reserve: func(devices.Reading) int64 { return gib },
	}
	pc := supervise.PoolConfig{
		Engine: engineName, Workers: 3, Isolated: 1, Log: log, ProbeEvery: time.Hour,
		Restart: supervise.RestartPolicy{Base: time.Millisecond, Cap: time.Millisecond, QuarantineAt: 1 << 20},
		Launch: func(_ context.Context, l supervise.Launch) (supervise.Command, error) {
			self, err := os.Executable()
			on := r.cards[slices.IndexFunc(r.cards, func(c *card) bool { return c.id == l.Device })]
			env := supervise.Environment{Path: os.Getenv("PATH"), Threads: 1, More: map[string]string{"GORACE": "atexit_sleep_ms=0"}}
			return supervise.Command{Path: self, Env: append(env.List(), on.child.Env())}, err
		},
	}
	if change != nil {
		change(&sc, &pc)
	}
	r.s = New(sc)
	pc.Admitter, pc.Rooms = r.s.Add(Engine{Name: engineName, GPU: true, Lazy: all[0].lazy, Prior: predict.Prior{Resident: resident, Base: reservation, Most: resident}})
	r.pool = supervise.NewPool(pc)
	r.s.Attach(engineName, r.pool)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var group sync.WaitGroup
	r.s.Measure(ctx)
	group.Go(func() { r.s.Run(ctx) })
	if err := r.pool.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, gate := range gates {
			r.open(gate)
		}
		_ = r.pool.Stop(context.Background())
		pipelinetest.Eventually(r.t, "the books are empty at the end", func() bool {
			return !slices.ContainsFunc(r.s.Snapshot(), func(d DeviceSnapshot) bool { return d.Workers+d.Jobs > 0 || d.Residents+d.Reserved > 0 })
		})
		cancel()
		group.Wait()
	})
	return r
}

// device is a card's books.
func (r *rig) device(i int) DeviceSnapshot {
	all := r.s.Snapshot()
	return all[slices.IndexFunc(all, func(d DeviceSnapshot) bool { return d.Device == r.cards[i].id })]
}

func (r *rig) open(gate string) {
	if err := os.WriteFile(filepath.Join(r.dir, gate), nil, 0o600); err != nil {
		r.t.Error(err)
	}
}

// convert hands a job in and returns where its end will be; the job is known to the pool by then.
func (r *rig) convert(id, base string, priority supervise.Priority) <-chan ended {
	r.t.Helper()
	done := make(chan ended, 1)
	out := r.t.TempDir()
	go func() {
		outcome, err := r.pool.Convert(context.WithoutCancel(r.t.Context()), supervise.Job{Priority: priority, Need: supervise.Need{Pages: 1}, Request: supervise.Request{
			ID: id, Path: "/documents/" + base, Range: pages.Range{First: 1, Last: 1}, OutDir: out, Total: time.Minute, Silence: time.Minute,
			Options: protocol.Options{Output: "markdown", Mode: protocol.ModeDefault},
		}})
		done <- ended{outcome, err}
	}()
	pipelinetest.Eventually(r.t, id+" is known to the pool", func() bool { return len(done) > 0 || r.waits(id) || r.runs(id) != 0 })
	return done
}

// ended is how a conversion came out.
type ended struct {
	supervise.Outcome
	err error
}

func (r *rig) good(done <-chan ended) ended {
	r.t.Helper()
	e := <-done
	if e.err != nil {
		r.t.Fatal(e.err)
	}
	return e
}

func (r *rig) waits(id string) bool { return r.why(id) != "" }

// why says what a job waits for; "" when it doesn't.
func (r *rig) why(id string) string {
	for _, w := range r.pool.Snapshot().Waiting {
		if w.ID == id {
			return w.Why
		}
	}
	return ""
}

// runs returns the pid of the worker that a job is on; 0: none.
func (r *rig) runs(id string) int {
	for _, w := range r.pool.Snapshot().Workers {
		if w.Job != nil && w.Job.ID == id {
			return w.PID
		}
	}
	return 0
}

// full loads as many workers as there are places, by demand, and leaves them idle.
func (r *rig) full(workers int) {
	r.t.Helper()
	var all []<-chan ended
	for i := range workers {
		all = append(all, r.convert(fmt.Sprintf("full-%d", i), "slow.pdf", supervise.Bulk))
	}
	pipelinetest.Eventually(r.t, "each job is on a worker of its own", func() bool {
		busy := 0
		for _, w := range r.pool.Snapshot().Workers {
			if w.Job != nil {
				busy++
			}
		}
		return busy == workers
	})
	r.open("slow")
	for _, done := range all {
		r.good(done)
	}
	pipelinetest.Eventually(r.t, "the books know what each of them holds", func() bool {
		d := r.device(0)
		return d.Workers == workers && d.Jobs == 0 && d.Residents == int64(workers)*resident && d.Strangers == r.cards[0].reading().Used-d.Residents
	})
}

// measured waits until the driver's word on the only worker is in the books: what is booked before looks the same.
func (r *rig) measured(what string, bytes int64) {
	r.t.Helper()
	pipelinetest.Eventually(r.t, what+" is measured", func() bool {
		r.s.mu.Lock()
		defer r.s.mu.Unlock()
		for _, one := range r.s.rooms {
			return one.baseline == bytes && one.left.IsZero()
		}
		return false
	})
}

// reasons are the reasons of worker states, joined.
func (r *rig) reasons() string {
	var all []string
	for _, w := range r.pool.Snapshot().Workers {
		all = append(all, w.Reason)
	}
	return strings.Join(all, "; ")
}
