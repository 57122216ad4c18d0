package gpusim

import (
	"fmt"
	"time"

	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
)

// DeviceConfig is one simulated GPU. Sizes are bytes.
type DeviceConfig struct {
	ID      string // default sim-0, sim-1 …
	Total   int64
	Context int64 // what each process costs before it has allocated anything; default 610 MiB
	// ReleaseAfter is how long memory stays taken after its process has ended.
	ReleaseAfter time.Duration
	// HideProcesses makes the device tell no per-process figures, as drivers in containers do.
	HideProcesses bool
	// TimeScale multiplies the time of kernels; default 1.
	TimeScale float64
}

// contextBytes is what a process was measured to cost on an H200 (PyTorch 2.11, CUDA 13).
const contextBytes = 610 << 20

// device is guarded by the broker's lock.
type device struct {
	DeviceConfig
	strangers int64
	held      map[int]int64 // by pid
	running   int           // kernels
	ecc, xids uint64
	lastXid   uint64
	lost      string
}

func (d *device) used() int64 {
	n := d.strangers
	for _, held := range d.held {
		n += held
	}
	return n
}

// take gives memory to a process, if there is any.
func (d *device) take(pid int, bytes int64) bool {
	if d.lost != "" || d.used()+bytes > d.Total {
		return false
	}
	d.held[pid] += bytes
	return true
}

func (d *device) give(pid int, bytes int64) {
	if d.held[pid] -= bytes; d.held[pid] <= 0 {
		delete(d.held, pid)
	}
}

func (d *device) xid(number uint64) { d.xids, d.lastXid = d.xids+1, number }

func (d *device) reading() devices.Reading {
	r := devices.Reading{
		ID: d.ID, Model: fmt.Sprintf("Simulated GPU %d GiB", d.Total>>30), Kind: devices.KindSim, Total: d.Total, Used: min(d.used(), d.Total),
		Utilisation: min(1, float64(d.running)), ECCErrors: d.ecc, Xids: d.xids, LastXid: d.lastXid, Lost: d.lost,
	}
	if !d.HideProcesses {
		r.Processes = map[int]int64{}
		for pid, held := range d.held {
			r.Processes[pid] = held
		}
	}
	return r
}
