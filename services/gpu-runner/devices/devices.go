// Package devices measures the memory that workers share: GPUs through the driver, a simulated one through its broker, the host's own. A Meter reads
// and changes nothing.
package devices

import (
	"context"
	"errors"
	"slices"
)

// Kinds of device.
const (
	KindGPU  = "gpu"
	KindMIG  = "mig" // an instance of a partitioned GPU: a device of its own
	KindHost = "host"
	KindSim  = "sim" // a simulated GPU
)

// Reading is one device at one moment. Sizes are bytes.
type Reading struct {
	ID    string `json:"id"` // what CUDA_VISIBLE_DEVICES takes: a UUID; "host" for the host's memory
	Model string `json:"model"`
	Kind  string `json:"kind"`
	Total int64  `json:"total"`
	Used  int64  `json:"used"` // by everybody
	// Processes is what each process holds. It is nil where the driver doesn't say (in containers, on some systems): see Estimated in users of this.
	Processes map[int]int64 `json:"processes"`

	Utilisation float64 `json:"utilisation"` // 0 to 1; -1: not known
	Temperature int     `json:"temperature"` // °C; 0: not known
	ECCErrors   uint64  `json:"ecc_errors"`  // uncorrected, since the driver was loaded
	Xids        uint64  `json:"xids"`        // critical errors that the driver has reported since the meter was opened
	LastXid     uint64  `json:"last_xid"`    // the number of the latest
	Lost        string  `json:"lost,omitempty"`
}

// XidOfProcess reports whether a process brings such a critical error upon itself, and no other process is touched: faults of a kernel (13), of its
// memory (31), a context that was stopped (43: any device-side assert) or cleaned up (45).
func XidOfProcess(xid uint64) bool { return slices.Contains([]uint64{13, 31, 43, 45}, xid) }

// Meter measures devices. Its methods are safe for concurrent use.
type Meter interface {
	// Read measures every device now, in a stable order. A device that has fallen off the bus is still listed, with Lost saying why.
	Read(ctx context.Context) ([]Reading, error)
	// Close frees what the meter holds; Read fails with ErrClosed afterwards.
	Close() error
}

// Errors of meters.
var (
	// ErrNoDriver says that this machine has no usable driver; its text is one line that says why.
	ErrNoDriver = errors.New("no NVIDIA driver")
	ErrClosed   = errors.New("the meter is closed")
)
