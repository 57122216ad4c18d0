package devices

import (
	"context"
	"fmt"
	"sync/atomic"
)

// HostID names the host's memory.
const HostID = "host"

// Host reads the host's memory: the machine's, or the part of it that this process's control group may use.
type Host struct {
	source source
	closed atomic.Bool
}

// OpenHost opens the host's memory.
func OpenHost() *Host { return &Host{source: openSource()} }

// Read implements Meter.
func (h *Host) Read(ctx context.Context) ([]Reading, error) {
	if h.closed.Load() {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read host memory: %w", err)
	}
	total, used, err := h.source.memory()
	if err != nil {
		return nil, fmt.Errorf("read host memory: %w", err)
	}
	return []Reading{{ID: HostID, Model: "memory", Kind: KindHost, Total: total, Used: used, Utilisation: -1, Processes: h.source.processes()}}, nil
}

// Close implements Meter.
func (h *Host) Close() error {
	h.closed.Store(true)
	return nil
}
