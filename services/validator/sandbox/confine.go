package sandbox

import (
	"time"

	"golang.org/x/sys/unix"
)

// confine takes from this process, for good, what a probe does not need: address space, files to write, core dumps, more open files.
func confine(sandbox int64) error {
	bounds := map[int]uint64{unix.RLIMIT_FSIZE: 0, unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: 64}
	if err := boundSpace(bounds, sandbox); err != nil {
		return err
	}
	for resource, limit := range bounds {
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
