package ingest

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// writing says whether anybody has the file open for writing. It asks for a read lease, which the kernel refuses then, and gives it back at once: who opens the
// file in that moment waits for a few microseconds. Other errors than errUnasked are those of opening the file.
func writing(path string) (bool, error) {
	// NONBLOCK: what has become a pipe meanwhile must not hold us.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, err
	}
	defer file.Close()
	raw, err := file.SyscallConn()
	if err != nil {
		return false, err
	}
	var lease error
	err = raw.Control(func(fd uintptr) {
		if _, lease = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK); lease == nil {
			_, _ = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK) // closing the file does it too
		}
	})
	switch {
	case err != nil:
		return false, err
	case lease == nil:
		return false, nil
	case errors.Is(lease, unix.EAGAIN):
		return true, nil
	}
	return false, fmt.Errorf("%w: %w", errUnasked, lease) // a file system without leases, or a file of somebody else
}
