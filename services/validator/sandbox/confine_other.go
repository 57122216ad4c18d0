//go:build !linux

package sandbox

import "time"

// confine does nothing here: the parent's deadline and the sandbox's own bound remain.
func confine(int64) error { return nil }

// allowCPU does nothing here: the parent's deadline remains.
func allowCPU(time.Duration) error { return nil }
