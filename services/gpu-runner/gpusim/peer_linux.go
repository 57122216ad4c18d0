package gpusim

import (
	"net"

	"golang.org/x/sys/unix"
)

// peer is the pid at the other end.
func peer(conn *net.UnixConn) (pid int) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if c, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil { //nolint:gosec // a descriptor is small
			pid = int(c.Pid)
		}
	})
	return pid
}
