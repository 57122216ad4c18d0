package unprivileged

import (
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Become makes this whole process the user, for good. The kernel forgets at that which signal was to end the process with its parent: it is told again, for the
// thread of the caller, which must not end before the process does.
func (u *User) Become() error {
	if u == nil {
		return nil
	}
	groups := make([]int, len(u.Groups))
	for i, g := range u.Groups {
		groups[i] = int(g)
	}
	runtime.LockOSThread()
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("become %s: groups: %w", u, err)
	}
	if err := syscall.Setresgid(int(u.GID), int(u.GID), int(u.GID)); err != nil {
		return fmt.Errorf("become %s: group: %w", u, err)
	}
	if err := syscall.Setresuid(int(u.UID), int(u.UID), int(u.UID)); err != nil {
		return fmt.Errorf("become %s: %w", u, err)
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("become %s: end with the parent: %w", u, err)
	}
	return nil
}
