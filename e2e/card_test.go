package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
)

// Bounds of the test below: a real card's processes take seconds to come up, and a poisonous page takes several of them along. The driver keeps a little for itself once it
// was used.
const (
	cardPython   = "PDFMILL_CARD_PYTHON" // names an interpreter with PyTorch and the runner: see runner-py/tests/card/run.sh
	cardPatience = 4 * time.Minute
	cardPages    = 12
	driversOwn   = 32 << 20
)

// poison is what becomes of a document with a poisonous last page: of that page, or, where there is no other, of the document.
var poison = map[string]struct {
	pages  int
	became string
}{
	"device-assert":   {3, "degraded"},
	"device-assert!":  {2, "device-assert"},
	"device-assert!!": {1, "failed device-assert"},
	"oom":             {2, "degraded"},
	"oom!":            {1, "failed oom"},
	"oom-large-batch": {2, ""},
	"killed":          {2, "degraded"},
	"compile":         {1, ""},
}

// TestACardLosesNothing: documents go through the whole pipeline and a GPU, some of which break the device under them, while a worker is killed, and then everything.
// Each comes to its end, its neighbours to theirs, and the GPU's memory comes back. Root's workers are in cells of nobody's meanwhile.
func TestACardLosesNothing(t *testing.T) {
	t.Run("gpusim", func(t *testing.T) {
		socket, gpusim := filepath.Join(reachableFolder(t), "gpu"), filepath.Join(t.TempDir(), "gpusim")
		rig.Build(t, gpusim, "github.com/pdfmill/pdfmill/services/gpu-runner/gpusim/cmd/gpusim")
		simulator := rig.Start(t, nil, gpusim, "--socket", socket, "--gib", "24", "--release-after", "50ms", "--time-scale", "0.01")
		simulator.Await("it listens", func() bool { return answers(t, socket) })
		if err := os.Chmod(socket, 0o777); err != nil {
			t.Fatal(err)
		}
		losesNothing(t, []string{"PDFMILL_GPUSIM=" + socket, "PDFMILL_SIM_TIME_SCALE=0.01"}, nil)
	})
	if os.Getenv(cardPython) != "" {
		t.Run("torch", func(t *testing.T) {
			losesNothing(t, []string{"PDFMILL_GPUSIM=torch", "PDFMILL_SIM_TIME_SCALE=0.1"}, smi)
		})
	}
}

// losesNothing runs the test; card, if any, says what the driver's own program says of the memory in use, and of that which processes hold.
func losesNothing(t *testing.T, env []string, card func(*testing.T) (used, held int64)) {
	user, err := unprivileged.Find(unprivileged.Auto)
	if err != nil {
		t.Fatal(err)
	}
	open := reachableFolder(t)
	data, args := filepath.Join(open, "data"), []string{"--serve", "sim", "--engines", "sim", "--auto-engine", "sim", "--workers", "3"}
	if python := os.Getenv(cardPython); python != "" {
		env, args = append(env, "PDFMILL_RUNNER="+python), append(args, "--cache", filepath.Join(open, "cache"))
	} else {
		cache, python := reachable(t, user, open)
		args = append(args, "--cache", cache, "--python", python)
	}
	var before int64
	if card != nil {
		before, _ = card(t)
	}
	up := func() *rig.Pipeline { return rig.UpWithin(t, cardPatience, env, data, args...) }
	p := up()
	texts := map[string][]string{}
	for i := range 2 * cardPages {
		name := fmt.Sprintf("good-%02d.pdf", i)
		for n := range 1 + i/2 {
			texts[name] = append(texts[name], fmt.Sprintf("page %d of %s", n+1, name))
		}
	}
	for fault, c := range poison {
		pages := slices.Repeat([]string{"a page beside " + fault}, c.pages-1)
		texts[fault+".pdf"] = append(pages, "pdfmill-sim:"+strings.Replace(fault, "!!", "!", 1))
	}
	began := time.Now()
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		p.Put(name, pipelinetest.PDF(texts[name]...), nil)
	}
	events := rig.Subscribe(t, p.NATS())
	ended := func(n int) func() bool { return func() bool { return len(events.All()) >= n } }
	p.Processes[0].AwaitWithin(cardPatience, "some documents are through", ended(3))
	confined(t, p, user)
	killed := workersOf(t, p)[0]
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Errorf("kill worker %d: %v", killed, err)
	}
	t.Logf("%.1f s: worker %d is killed, %d of %d documents are through", time.Since(began).Seconds(), killed, len(events.All()), len(texts))
	p.Processes[0].AwaitWithin(cardPatience, "more documents are through", ended(len(texts)/2))
	t.Logf("%.1f s: everything is killed, %d documents are through", time.Since(began).Seconds(), len(events.All()))
	p.Kill()
	if card != nil {
		pipelinetest.Eventually(t, "the memory of killed workers is back", func() bool { used, _ := card(t); return used <= before+driversOwn })
	}
	p = up()
	t.Logf("%.1f s: it runs again", time.Since(began).Seconds())
	events = rig.Subscribe(t, p.NATS())
	p.Processes[0].AwaitWithin(cardPatience, "every document is through", ended(len(texts)))
	took := time.Since(began).Seconds()
	for name := range texts {
		fault := strings.TrimSuffix(name, ".pdf")
		end := ends(t, events.Of(p.InboxBucket+"/"+name))
		if end != poison[fault].became {
			t.Errorf("%s: %q, want %q", name, end, poison[fault].became)
		}
	}
	t.Logf("%.1f s: every document is through", took)

	status := func() event.GPUDevice {
		var a event.GPUAnswer
		if err := json.Unmarshal([]byte(p.Pdfmill("gpu", "status", "--json")), &a); err != nil || len(a.Devices) < 1 {
			t.Fatalf("%v, %+v", err, a)
		}
		return a.Devices[0]
	}
	pipelinetest.Within(t, cardPatience, "the books agree with the driver, and no job is in them", func() bool {
		d := status()
		if d.Jobs != 0 || d.Reserved != 0 || d.Workers == 0 || d.Residents == 0 || d.Used < d.Residents {
			return false
		}
		if card == nil {
			return true
		}
		used, held := card(t)
		return abs(d.Used-used) < 4<<20 && abs(d.Residents-held) <= int64(d.Workers)<<20
	})
	t.Logf("at the end:\n%s", p.Pdfmill("gpu", "status"))
	p.Stop(30 * time.Second)
	if card != nil {
		used, held := card(t)
		t.Logf("before: %d MiB used; afterwards: %d MiB, of which processes hold %d", before>>20, used>>20, held>>20)
		if used > before+driversOwn || held != 0 {
			t.Errorf("memory is left in use: %d bytes, before it was %d", used, before)
		}
	}
}

// ends says what became of a document: "" when it is whole, the warning or the class of its bad page, or "failed" and the class.
func ends(t *testing.T, of []rig.Event) string {
	t.Helper()
	ids := map[string]bool{}
	for _, e := range of {
		ids[e.ID] = true
	}
	if len(ids) != 1 {
		return fmt.Sprintf("%d ends", len(ids))
	}
	var converted event.Converted
	var failed event.Failed
	if strings.HasPrefix(of[0].Subject, "pdf.failed") {
		if err := json.Unmarshal(of[0].Raw, &failed); err != nil {
			t.Fatal(err)
		}
		return "failed " + string(failed.Class)
	}
	if err := json.Unmarshal(of[0].Raw, &converted); err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, f := range converted.FailedPages {
		words = append(words, string(f.Class))
	}
	for _, w := range converted.Warnings {
		words = append(words, w.Warning)
	}
	return strings.Join(words, " ")
}

// workersOf are the processes of workers, at a moment when there are some.
func workersOf(t *testing.T, p *rig.Pipeline) (pids []int) {
	t.Helper()
	p.Processes[0].AwaitWithin(cardPatience, "it has a worker", func() bool {
		for _, child := range children(t, p.Processes[0].PID()) {
			if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child)); err == nil && bytes.Contains(line, []byte("pdfmill_runner")) {
				pids = append(pids, child)
			}
		}
		return len(pids) > 0
	})
	return pids
}

// confined looks whether workers on a GPU have given up what they can do without.
func confined(t *testing.T, p *rig.Pipeline, user *unprivileged.User) {
	t.Helper()
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range workersOf(t, p) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		network, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
		environment, err3 := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || err2 != nil || err3 != nil {
			continue // it is gone
		}
		if !bytes.Contains(status, []byte("NoNewPrivs:\t1")) || network == ours || user != nil && !bytes.Contains(status, fmt.Appendf(nil, "Uid:\t%d\t", user.UID)) {
			t.Errorf("worker %d has network %s of %s:\n%s", pid, network, ours, status)
		}
		if !bytes.Contains(environment, []byte("/cells/worker-")) {
			t.Errorf("worker %d is in no cell: %s", pid, environment)
		}
	}
}

// smi asks the driver's own program, in bytes.
func smi(t *testing.T) (used, held int64) {
	t.Helper()
	sum := func(query string) (n int64) {
		out, err := exec.CommandContext(t.Context(), "nvidia-smi", query, "--format=csv,noheader,nounits").Output()
		if err != nil {
			t.Fatal(err)
		}
		for word := range strings.FieldsSeq(strings.ReplaceAll(string(out), ",", " ")) {
			mib, err := strconv.ParseInt(word, 10, 64)
			if err != nil {
				t.Fatalf("%s: %s", query, out)
			}
			n += mib << 20
		}
		return n
	}
	return sum("--query-gpu=memory.used,memory.reserved"), sum("--query-compute-apps=used_gpu_memory")
}

func abs(n int64) int64 { return max(n, -n) }
