//go:build !linux

package faults

import "testing"

// small can't be had here.
func small(t *testing.T, dir, _ string) {
	t.Helper()
	t.Fatalf("mount a small file system on %s: this test needs Linux", dir)
}
