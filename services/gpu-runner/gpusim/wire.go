package gpusim

import "github.com/pdfmill/pdfmill/services/gpu-runner/devices"

// Operations of a Request.
const (
	OpAttach     = "attach"      // become a process on Device; Expandable chooses the allocator. Costs the context
	OpAlloc      = "alloc"       // Bytes; answers Handle
	OpFree       = "free"        // Handle
	OpEmptyCache = "empty_cache" // give back what is cached
	OpResetPeak  = "reset_peak"  // begin new peaks
	OpStats      = "stats"       // answers Stats
	OpKernel     = "kernel"      // compute for Seconds, then Fault happens
	OpRead       = "read"        // answers Devices; needs no attach
	OpSet        = "set"         // change Device: Strangers, and Fault xid, ecc or lost; needs no attach
)

// Faults of a kernel.
const (
	FaultAssert  = "assert"  // the process is unusable from then on, and the driver says so (Xid 43)
	FaultIllegal = "illegal" // the same, for another reason (Xid 31)
	FaultXid     = "xid"     // the same, and it is the device's fault (Xid 62)
	FaultECC     = "ecc"     // the same, and the device has one more uncorrected error
	FaultLost    = "lost"    // the device falls off the bus: nobody can use it any more
	FaultHang    = "hang"    // the kernel never ends
)

// Request is one line to the broker.
type Request struct {
	Op         string  `json:"op"`
	Device     string  `json:"device,omitempty"`
	PID        int     `json:"pid,omitempty"` // of attach; default: who is at the other end
	Expandable bool    `json:"expandable,omitempty"`
	Bytes      int64   `json:"bytes,omitempty"`
	Handle     int     `json:"handle,omitempty"`
	Seconds    float64 `json:"seconds,omitempty"`
	Fault      string  `json:"fault,omitempty"`
	Strangers  *int64  `json:"strangers,omitempty"`
}

// Answer is one line back. Error is what the operation failed with, in PyTorch's words.
type Answer struct {
	Error   string            `json:"error,omitempty"`
	OOM     bool              `json:"oom,omitempty"` // Error is about memory: the process can go on
	Handle  int               `json:"handle,omitempty"`
	Stats   *Stats            `json:"stats,omitempty"`
	Devices []devices.Reading `json:"devices,omitempty"`
	Device  string            `json:"device,omitempty"` // of attach
	Total   int64             `json:"total,omitempty"`
}

// Stats is what an allocator says of itself, in bytes. It doesn't know of the context.
type Stats struct {
	Allocated     int64 `json:"allocated"`
	Reserved      int64 `json:"reserved"`
	PeakAllocated int64 `json:"peak_allocated"`
	PeakReserved  int64 `json:"peak_reserved"`
}
