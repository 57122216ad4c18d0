package validator

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// impose sets the limits of a process that runs.
func (l limits) impose(pid int) error {
	for resource, bound := range map[int]uint64{
		unix.RLIMIT_AS: uint64(l.memory), unix.RLIMIT_CPU: uint64(l.cpu / time.Second), unix.RLIMIT_FSIZE: uint64(l.fileBytes), unix.RLIMIT_CORE: 0,
	} {
		if err := l.user.Limit(pid, resource, bound); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}
