package gpurunner

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/cgroup/cgrouptest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices/devicestest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/gpusim"
	"github.com/pdfmill/pdfmill/services/gpu-runner/schedule"
)

// row is one row of the table of failures.
type row struct {
	fault    string
	pages    int // the last is the bad one
	class    failure.Class
	page     string // what becomes of the bad page
	restarts int    // of workers that do ordinary jobs
	isolated bool   // some of it was tried in a process of its own
	tries    int    // of the whole range as it came
}

var table = []row{
	{"device-assert", 3, failure.DeviceAssert, event.PageDegraded, 2, true, 2},
	{"illegal-access", 1, failure.DeviceAssert, event.PageDegraded, 2, true, 2},
	{"xid", 1, failure.DeviceAssert, event.PageDegraded, 2, true, 2},
	{"ecc", 1, failure.DeviceAssert, event.PageDegraded, 2, true, 2},
	{"device-assert!", 2, failure.DeviceAssert, "device-assert", 2, true, 2},
	{"crash", 2, failure.Crash, event.PageDegraded, 2, true, 2},
	{"killed", 1, failure.Crash, event.PageDegraded, 2, true, 2},
	{"exit", 1, failure.Crash, event.PageDegraded, 2, true, 2},
	{"hang", 1, failure.Timeout, event.PageDegraded, 1, true, 1},
	{"oom", 2, failure.OOM, event.PageDegraded, 0, false, 4},
	{"oom-large-batch", 2, failure.OOM, event.PageOK, 0, false, 4},
	{"host-oom", 1, failure.HostOOM, event.PageDegraded, 4, false, 4},
	{"hog", 1, failure.HostOOM, event.PageDegraded, 4, false, 4}, // where there are control groups
	{"model-bug", 3, failure.ModelBug, event.PageDegraded, 0, false, 1},
	{"model-bug!", 1, failure.ModelBug, "model-bug", 0, false, 1},
	{"engine-error", 2, failure.EngineError, event.PageDegraded, 0, false, 2},
	{"unhealthy", 1, failure.EngineError, event.PageDegraded, 2, false, 2},
	{"pdf-corrupt", 2, failure.PDFCorrupt, "pdf-corrupt", 0, false, 1},
}

// Each row of the table of failures, for real: a process of the real runner breaks on a page, and each page has an outcome. A real card breaks in
// fewer ways on order than a simulated one.
func TestEachFailureCostsItsPage(t *testing.T) {
	t.Run("gpusim", func(t *testing.T) {
		p := newPlant(t, func(c *Config, _ *schedule.Config) { c.Silence, c.Workers = 4*time.Second, 1 }, gpusim.DeviceConfig{Total: 24 * gib})
		keepsTable(p, func(r row) bool { return r.fault != "hog" })
	})
	t.Run("control groups", func(t *testing.T) {
		dir, _ := cgrouptest.Folder(t)
		p := newPlant(t, func(c *Config, _ *schedule.Config) {
			c.Workers, c.Cgroup, c.WorkerMemory = 1, dir, map[string]int64{engineSim: 200 * mib}
		}, gpusim.DeviceConfig{Total: 24 * gib})
		keepsTable(p, func(r row) bool { return r.fault == "hog" || r.fault == "killed" })
	})
	if devicestest.CardPython() != "" {
		t.Run("torch", func(t *testing.T) {
			t.Setenv("PDFMILL_SIM_TIME_SCALE", "0.01")
			p := newCardPlant(t, func(c *Config, _ *schedule.Config) { c.Silence, c.Workers = 8*time.Second, 1 })
			producible := []string{"device-assert!", "killed", "hang", "oom", "oom-large-batch", "unhealthy"}
			keepsTable(p, func(r row) bool { return slices.Contains(producible, r.fault) })
		})
		t.Run("torch in control groups", func(t *testing.T) {
			t.Setenv("PDFMILL_SIM_TIME_SCALE", "0.01")
			dir, _ := cgrouptest.Folder(t)
			p := newCardPlant(t, func(c *Config, _ *schedule.Config) { c.Workers, c.Cgroup = 1, dir })
			keepsTable(p, func(r row) bool { return r.fault == "hog" || r.fault == "killed" })
		})
	}
}

func keepsTable(p *plant, wanted func(row) bool) {
	t := p.t
	for _, row := range table {
		if !wanted(row) {
			continue
		}
		before, good, xids := p.restarts(), event.PageOK, p.device().Xids
		if row.fault == "pdf-corrupt" {
			good = "pdf-corrupt" // the document broke the validator's promise
		}
		texts, want := make([]string, row.pages), map[int]string{}
		for i := range texts {
			texts[i], want[i+1] = "all is well", good
		}
		texts[row.pages-1], want[row.pages] = "pdfmill-sim:"+row.fault, row.page
		o := p.convert(p.document(strings.Trim(row.fault, "!")+fmt.Sprint(len(row.fault)), texts...), row.pages)
		// A worker that was killed is started again when somebody needs it.
		p.convert(p.document("after", "all is well"), 1)
		if !maps.Equal(o.pages, want) {
			t.Errorf("%s: pages %v, want %v", row.fault, o.pages, want)
		}
		if !o.seen(row.class) {
			t.Errorf("%s: classes %v, want %s", row.fault, o.classes, row.class)
		}
		if n := p.restarts() - before; n != row.restarts {
			t.Errorf("%s: %d restarts, want %d (%v)", row.fault, n, row.restarts, o.tries)
		}
		suspect := slices.ContainsFunc(slices.Collect(maps.Keys(o.tries)), func(k string) bool { return strings.HasPrefix(k, job.LaneSuspect) })
		if suspect != row.isolated || o.tries["bulk "+pages.Range{First: 1, Last: row.pages}.String()+" default"] != row.tries {
			t.Errorf("%s: tried %v", row.fault, o.tries)
		}
		if row.fault == "device-assert!" { // the isolated process has said which page it was, and where
			if e := o.evidence[2]; !strings.Contains(e, "device-side assert") || !strings.Contains(e, "_page") || o.tries["suspect 2 default"] == 0 {
				t.Errorf("evidence %q, tried %v", e, o.tries)
			}
		}
		if row.class == failure.DeviceAssert {
			pipelinetest.Eventually(t, row.fault+": the driver has told of it", func() bool { return p.device().Xids > xids })
		}
		if d := p.device(); d.Quarantined || d.Closed != "" {
			t.Fatalf("%s: what a page does is held against the device: %+v", row.fault, d)
		}
	}
}

// A poisonous page costs nobody else an attempt, in its document or beside it.
func TestASiblingInMidJobIsNotHurt(t *testing.T) {
	p := newPlant(t, nil, gpusim.DeviceConfig{Total: 24 * gib, TimeScale: 1})
	long := make([]string, 6)
	for i := range long {
		long[i] = "a slow page"
	}
	sibling := make(chan *outcome, 1)
	path := p.document("long", long...)
	go func() { sibling <- p.convert(path, len(long)) }()
	pipelinetest.Eventually(t, "the sibling runs", func() bool { return p.device().Jobs == 1 })
	p.convert(p.document("poison", "pdfmill-sim:device-assert"), 1)
	if o := <-sibling; len(o.classes) != 0 || o.tries["bulk 1-6 default"] != 1 {
		t.Errorf("the sibling: %+v", o)
	}
}

func TestALostDeviceLosesNoJob(t *testing.T) {
	p := newPlant(t, nil, gpusim.DeviceConfig{Total: 8 * gib, TimeScale: 1}, gpusim.DeviceConfig{Total: 8 * gib, TimeScale: 1})
	done := make(chan *outcome, 1)
	path := p.document("long", "one", "two", "three", "four", "five", "six", "seven", "eight")
	go func() { done <- p.convert(path, 8) }()
	var at string
	pipelinetest.Eventually(t, "it runs", func() bool {
		for _, d := range p.scheduler.Snapshot() {
			if d.Jobs == 1 {
				at = d.Device
			}
		}
		return at != ""
	})
	client, err := gpusim.Dial(t.Context(), p.config.GPUSim)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Do(gpusim.Request{Op: gpusim.OpSet, Device: at, Fault: gpusim.FaultLost}); err != nil {
		t.Fatal(err)
	}
	o := <-done
	for page, became := range o.pages {
		if became != event.PageOK {
			t.Errorf("page %d: %s (%v)", page, became, o.classes)
		}
	}
	for _, d := range p.scheduler.Snapshot() {
		if d.Device == at && (d.Lost == "" || d.Closed == "") {
			t.Errorf("%+v", d)
		}
	}
}

func TestAgainIsTheTable(t *testing.T) {
	m := event.Range{Lane: job.LaneBulk, Range: pages.Range{First: 1, Last: 8}, Mode: event.ModeDefault, Megapixels: 4}
	for _, c := range []struct {
		what    string
		attempt int
		f       fault
		change  func(*event.Range)
		want    string
	}{
		{"not a page's fault", 7, fault{class: failure.Unhealthy}, nil, "retry"},
		{"a first death", 1, fault{class: failure.Crash}, nil, "retry"},
		{"a second death", 2, fault{class: failure.Crash}, nil, "suspect 1-4, suspect 5-8"},
		{"a timeout", 1, fault{class: failure.Timeout}, nil, "suspect 1-4, suspect 5-8"},
		{"a bug of the model on a known page", 1, fault{class: failure.ModelBug, page: 3}, nil, "bulk 1-2, bulk 3, bulk 4-8"},
		{"the first page", 1, fault{class: failure.ModelBug, page: 1}, nil, "bulk 1, bulk 2-8"},
		{"the last page", 1, fault{class: failure.ModelBug, page: 8}, nil, "bulk 1-7, bulk 8"},
		{"a page of another range", 1, fault{class: failure.ModelBug, page: 9}, nil, "bulk 1-4, bulk 5-8"},
		{"in isolation", 1, fault{class: failure.DeviceAssert, page: 3}, func(m *event.Range) { m.Lane = job.LaneSuspect }, "bulk 1-2, suspect 3, bulk 4-8"},
		{"of an urgent document", 1, fault{class: failure.DeviceAssert, page: 8}, func(m *event.Range) {
			m.Lane, m.Options.Priority = job.LaneSuspect, job.LaneInteractive
		}, "interactive 1-7, suspect 8"},
		{"out of memory", 3, fault{class: failure.OOM, page: 3}, nil, "retry"},
		{"out of memory to the end", 4, fault{class: failure.OOM, page: 3}, nil, "bulk 1-4, bulk 5-8"},
		{"too large for any device", 1, fault{class: failure.OOM, hopeless: true}, nil, "bulk 1-4, bulk 5-8"},
		{"a single page", 2, fault{class: failure.DeviceAssert}, func(m *event.Range) { m.Range.Last = 1 }, "suspect 1 plain"},
		{"a plain page", 2, fault{class: failure.DeviceAssert}, func(m *event.Range) { m.Range.Last, m.Mode = 1, event.ModePlain }, "lost"},
	} {
		one := m
		if c.change != nil {
			c.change(&one)
		}
		pieces, retry := again(one, c.attempt, c.f)
		var got []string
		area := 0.0
		for _, piece := range pieces {
			text := piece.Lane + " " + piece.Range.String()
			if piece.Mode == event.ModePlain {
				text += " plain"
			}
			got = append(got, text)
			area += piece.Megapixels
			if piece.Because != c.f.class {
				t.Errorf("%s: because %q", c.what, piece.Because)
			}
		}
		if len(pieces) > 0 && (area < one.Megapixels-1e-9 || area > one.Megapixels+1e-9) {
			t.Errorf("%s: an area of %g became %g", c.what, one.Megapixels, area)
		}
		text := strings.Join(got, ", ")
		if retry {
			text = "retry"
		} else if len(pieces) == 0 {
			text = "lost"
		}
		if text != c.want {
			t.Errorf("%s: %s, want %s", c.what, text, c.want)
		}
	}
}
