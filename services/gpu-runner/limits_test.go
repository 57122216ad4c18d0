package gpurunner

import (
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/job"
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
		got := command(c.engine, Config{WorkerMemory: c.given}, t.TempDir(), "/python", c.launch, 1, addresses{})
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

// A folder that somebody names must be one; that systemd has delegated none is no fault.
func TestANamedFolderOfControlGroupsMustBeOne(t *testing.T) {
	c := Config{Cgroup: t.TempDir()}
	if err := (&Service{config: c}).openGroups(); err == nil || !strings.Contains(err.Error(), "no control group") {
		t.Errorf("%v", err)
	}
}
