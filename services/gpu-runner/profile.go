package gpurunner

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/predict"
	"github.com/pdfmill/pdfmill/services/gpu-runner/schedule"
)

// Engines beside those that a document may ask for.
const (
	engineNull = "null"
	engineSim  = "sim"
)

// gpuTorch in place of a gpusim socket makes the engine sim use real GPUs.
const gpuTorch = "torch"

const (
	mib = 1 << 20
	gib = 1 << 30
)

// profile is what is known of an engine before it has ever run: the figures of marker are those that its users report for 1.x (docs/engines.md).
func profile(name string, c Config) schedule.Engine {
	e := schedule.Engine{Name: name}
	switch name {
	case job.EngineMarker, engineSim:
		if name == job.EngineMarker && c.Marker.Generation != "1" { // a client of servers; measured without models
			e.Eager = true
			e.Prior = predict.Prior{Resident: 5 * gib / 8, Base: gib / 4, PerPage: 16 * mib, Most: 3 * gib}
			break
		}
		e.GPU, e.Host = true, 4*gib
		e.Prior = predict.Prior{Resident: 39 * gib / 10, Base: 6 * gib / 10, PerPage: gib / 8, Most: 6 * gib}
		if name == engineSim {
			e.Host = 128 * mib
		}
	default:
		e.Eager = true
		e.Prior = predict.Prior{Resident: 64 * mib, Base: 32 * mib, PerPage: mib, Most: 512 * mib}
		if name == engineNull {
			e.Prior.Most = 64 * mib
		}
		if name == job.EngineOCR { // models and a page as the network sees it; only where there are scans
			e.Eager, e.Lazy = false, true
			e.Prior = predict.Prior{Resident: 300 * mib, Base: 700 * mib, PerPage: mib, Most: 1500 * mib}
		}
		if most := c.workerMemory(name); most > 0 {
			e.Prior.Most = min(e.Prior.Most, most)
		}
	}
	return e
}

// workerMemory is how many bytes of the host's memory a worker of an engine may have when nothing else is said: several times what it was seen to need, so that only
// what runs away meets it.
var workerMemory = map[string]int64{
	job.EngineText: 2 * gib, job.EngineOCR: 4 * gib, job.EngineMarker: 16 * gib, engineNull: 2 * gib, engineSim: 2 * gib,
}

func (c Config) workerMemory(name string) int64 {
	if bytes, said := c.WorkerMemory[name]; said {
		return bytes
	}
	return workerMemory[name]
}

// usesGPU reports whether an engine has a use for GPUs: its workers, or the servers that they ask.
func usesGPU(name string) bool { return name == job.EngineMarker || name == engineSim }

// places is how many workers of an engine there may be at once: of a CPU engine one a core, of a GPU engine as many as could ever fit.
func places(e schedule.Engine, c Config, readings []devices.Reading) int {
	if c.Workers > 0 {
		return c.Workers
	}
	if e.GPU && len(readings) > 0 {
		fit := 0
		for _, r := range readings {
			fit += int(r.Total / e.Prior.Resident)
		}
		return max(1, fit)
	}
	if e.GPU {
		return 1 // a model on the CPU takes all cores
	}
	return runtime.NumCPU()
}

// allocator is the setting of PyTorch's allocator for workers, checked.
func (c Config) allocator() (string, error) {
	conf := c.AllocConf
	if strings.Contains(conf, "expandable_segments:True") && strings.Contains(conf, "max_split_size_mb") {
		return "", fmt.Errorf("alloc-conf is %q: expandable_segments and max_split_size_mb together crash PyTorch (pytorch/pytorch#123548); "+
			"leave one of them out", conf)
	}
	return conf, nil
}

// threads is a worker's share of the cores.
func threads(workers int) int { return max(1, runtime.NumCPU()/max(1, workers)) }

// environment is what a worker on a GPU gets besides what every worker gets.
func (c Config) environment(isolated bool) map[string]string {
	more := map[string]string{
		"PYTHONDONTWRITEBYTECODE": os.Getenv("PYTHONDONTWRITEBYTECODE"),
		"PYTORCH_CUDA_ALLOC_CONF": c.AllocConf, "PYTORCH_ALLOC_CONF": c.AllocConf,
		"PDFMILL_GPUSIM": c.GPUSim,
	}
	if c.GPUSim != "" {
		more["PDFMILL_SIM_TIME_SCALE"] = os.Getenv("PDFMILL_SIM_TIME_SCALE")
	}
	if isolated {
		more["CUDA_LAUNCH_BLOCKING"] = "1" // each launch is waited for, so that the stack of a fault is the true one; slow
	}
	return more
}
