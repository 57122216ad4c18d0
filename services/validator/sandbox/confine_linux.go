package sandbox

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// growth is the address space that a probe may still take, beside a second sandbox, once PDFium runs: room for Go to reserve what it will not use. Only what is
// touched costs memory.
const growth = 1 << 30

// confine takes from this process, for good, what a probe does not need: address space, files to write, core dumps, more open files.
func confine(sandbox int64) error {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var pages uint64
	if _, err := fmt.Sscan(string(statm), &pages); err != nil {
		return fmt.Errorf("size of this process in %q: %w", statm, err)
	}
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_AS: pages*uint64(os.Getpagesize()) + uint64(sandbox) + growth, unix.RLIMIT_FSIZE: 0, unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: 64,
	} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return err
		}
	}
	return nil
}

// allowCPU gives this process so much more processor time, then the kernel ends it: the last fence, should nobody be left to kill it.
func allowCPU(more time.Duration) error {
	if more <= 0 {
		return nil
	}
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CPU, &limit); err != nil {
		return err
	}
	seconds := uint64(used.Utime.Sec+used.Stime.Sec) + uint64(more/time.Second) + 2
	limit.Cur = min(seconds, limit.Max)
	return unix.Setrlimit(unix.RLIMIT_CPU, &limit)
}
