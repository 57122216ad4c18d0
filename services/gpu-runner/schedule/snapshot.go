package schedule

import (
	"slices"

	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/ledger"
)

// DeviceSnapshot is a device at one moment.
type DeviceSnapshot struct {
	ledger.Book
	Model       string  `json:"model"`
	Kind        string  `json:"kind"`
	Used        int64   `json:"used"` // by everybody, as measured
	Utilisation float64 `json:"utilisation"`
	Temperature int     `json:"temperature,omitempty"`
	ECCErrors   uint64  `json:"ecc_errors,omitempty"`
	Xids        uint64  `json:"xids,omitempty"`
	Quarantined bool    `json:"quarantined,omitempty"`
	Lost        string  `json:"lost,omitempty"`
	// Measured is "driver", or "estimated" where the driver hides what processes hold.
	Measured string `json:"measured"`
}

// Snapshot returns every device as it is now.
func (s *Scheduler) Snapshot() []DeviceSnapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []DeviceSnapshot
	for _, b := range slices.Concat(s.gpu.Books(), s.host.Books()) {
		n := DeviceSnapshot{Book: b, Measured: "driver"}
		if d := s.devices[b.Device]; d != nil {
			n.Model, n.Kind, n.Used, n.Utilisation, n.Temperature = d.Model, d.Kind, d.Used, d.Utilisation, d.Temperature
			n.ECCErrors, n.Xids, n.Quarantined, n.Lost = d.ECCErrors, d.Xids, d.quarantined, d.Lost
		}
		for _, r := range s.rooms {
			if r.estimate && r.device == b.Device && n.Kind != devices.KindHost {
				n.Measured = "estimated"
			}
		}
		out = append(out, n)
	}
	return out
}

// Unloaded reports whether an engine's workers may all be away with nothing wrong: they come, or come back, when there is work.
func (s *Scheduler) Unloaded(engine string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.engines[engine]
	return e != nil && (e.loaded || e.Lazy) && e.hopeless() == ""
}
