//go:build !linux || !cgo

package devices

import (
	"context"
	"fmt"
)

// NVML can't be reached from this build.
type NVML struct{}

// OpenNVML says that there is no driver.
func OpenNVML() (*NVML, error) {
	return nil, fmt.Errorf("%w: this build of pdfmill can't load one (it needs Linux and cgo)", ErrNoDriver)
}

// Read implements Meter.
func (*NVML) Read(context.Context) ([]Reading, error) { return nil, ErrClosed }

// Close implements Meter.
func (*NVML) Close() error { return nil }
