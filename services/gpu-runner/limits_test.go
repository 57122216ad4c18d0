package gpurunner

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/gpusim"
	"github.com/pdfmill/pdfmill/services/gpu-runner/schedule"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// Every worker's memory is bounded: by its control group, and as data where no GPU needs addresses without end.
func TestEveryWorkerHasALimitOfMemory(t *testing.T) {
	gpu := supervise.Launch{Device: "GPU-1"}
	for _, c := range []struct {
		engine       string
		launch       supervise.Launch
		given        map[string]int64
		memory, data int64
	}{
		{job.EngineText, supervise.Launch{}, nil, 2 * gib, 2 * gib},
		{job.EngineOCR, supervise.Launch{}, nil, 4 * gib, 4 * gib},
		{job.EngineMarker, supervise.Launch{}, nil, 16 * gib, 16 * gib},
		{job.EngineMarker, gpu, nil, 16 * gib, 0},
		{engineSim, gpu, nil, 2 * gib, 0},
		{job.EngineOCR, supervise.Launch{}, map[string]int64{job.EngineOCR: 3 * gib}, 3 * gib, 3 * gib},
		{job.EngineText, supervise.Launch{}, map[string]int64{job.EngineOCR: 3 * gib}, 2 * gib, 2 * gib},
		{job.EngineText, supervise.Launch{}, map[string]int64{job.EngineText: 0}, 0, 0},
	} {
		got := command(c.engine, Config{WorkerMemory: c.given}, t.TempDir(), "/python", nil, c.launch, 1, addresses{})
		if got.Memory != c.memory || got.Data != c.data {
			t.Errorf("%s on %q, given %v: memory %d, data %d", c.engine, c.launch.Device, c.given, got.Memory, got.Data)
		}
	}
	for _, wrong := range []map[string]int64{{"txet": 1}, {job.EngineText: -1}} {
		if err := (Config{WorkerMemory: wrong}).Validate(); err == nil || !strings.Contains(err.Error(), "worker-memory") {
			t.Errorf("%v: %v", wrong, err)
		}
	}
}

// A worker is told its one device and its share of the cores; only where a suspect's stack matters does each kernel wait, and what crashes PyTorch is refused.
func TestWhatAWorkerIsToldOfItsDevice(t *testing.T) {
	c := Config{AllocConf: "expandable_segments:True"}
	for _, isolated := range []bool{false, true} {
		env := command(engineSim, c, "/cache", "/python", nil, supervise.Launch{Device: "GPU-1", Isolated: isolated}, 1<<20, addresses{}).Env
		for _, entry := range []string{"CUDA_VISIBLE_DEVICES=GPU-1", "TORCH_DEVICE=cuda", "OMP_NUM_THREADS=1", "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"} {
			if !slices.Contains(env, entry) {
				t.Errorf("no %s in %v", entry, env)
			}
		}
		if slices.Contains(env, "CUDA_LAUNCH_BLOCKING=1") != isolated {
			t.Errorf("isolated %t: %v", isolated, env)
		}
	}
	c.AllocConf += ",max_split_size_mb:128"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "together crash PyTorch") {
		t.Errorf("%v", err)
	}
}

// Health is what was seen: a worker whose device no longer answers says so, whatever the process thinks of itself.
func TestHealthIsWhatWasSeen(t *testing.T) {
	p := newPlant(t, func(c *Config, _ *schedule.Config) { c.Workers, c.ProbeEvery = 1, 20*time.Millisecond }, gpusim.DeviceConfig{Total: 24 * gib})
	if w := p.workers()[0]; w.Status != "ok" || !w.ModelLoaded || !w.GPUAvailable {
		t.Errorf("loaded: %+v", w)
	}
	pipelinetest.Eventually(t, "its probe is told", func() bool { probe := p.workers()[0].LastProbe; return probe != nil && probe.OK })
	client, err := gpusim.Dial(t.Context(), p.config.GPUSim)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Do(gpusim.Request{Op: gpusim.OpSet, Device: "sim-0", Fault: gpusim.FaultLost}); err != nil {
		t.Fatal(err)
	}
	pipelinetest.Eventually(t, "neither model nor GPU is claimed", func() bool {
		w := p.workers()[0]
		// Whether a probe fails first, or the device is closed and the worker sent away, is chance: of the latter the device tells.
		return w.Status != "ok" && !w.ModelLoaded && !w.GPUAvailable && (w.LastError != "" || p.device().Lost != "")
	})
}

// A folder that somebody names must be one; that systemd has delegated none is no fault.
func TestANamedFolderOfControlGroupsMustBeOne(t *testing.T) {
	c := Config{Cgroup: t.TempDir()}
	if err := (&Service{config: c}).openGroups(); err == nil || !strings.Contains(err.Error(), "no control group") {
		t.Errorf("%v", err)
	}
}
