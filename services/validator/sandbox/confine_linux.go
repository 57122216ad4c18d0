package sandbox

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// growth is the address space that a probe may still take, beside a second sandbox, once PDFium runs: room for Go to reserve what it will not use. Only what is
// touched costs memory.
const growth = 1 << 30

// boundSpace adds the bound on this process' address space.
func boundSpace(bounds map[int]uint64, sandbox int64) error {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var pages uint64
	if _, err := fmt.Sscan(string(statm), &pages); err != nil {
		return fmt.Errorf("size of this process in %q: %w", statm, err)
	}
	bounds[unix.RLIMIT_AS] = pages*uint64(os.Getpagesize()) + uint64(sandbox) + growth
	return nil
}
