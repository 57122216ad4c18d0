package unprivileged

import (
	"errors"
	"fmt"
	"os"
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

// Limit bounds a resource of a process that was started as the user, as prlimit does. Root may do that to others only with CAP_SYS_RESOURCE, which containers have not;
// or when its real user is theirs: a thread is it for the moment of the call.
func (u *User) Limit(pid, resource int, bound uint64) error {
	set := func() error { return unix.Prlimit(pid, resource, &unix.Rlimit{Cur: bound, Max: bound}, nil) }
	err := set()
	if u == nil || !errors.Is(err, unix.EPERM) {
		return err
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		uid, gid := os.Getuid(), os.Getgid()
		err := errors.Join(real(unix.SYS_SETRESGID, int(u.GID)), real(unix.SYS_SETRESUID, int(u.UID)))
		if err == nil {
			err = set()
		}
		back := errors.Join(real(unix.SYS_SETRESUID, uid), real(unix.SYS_SETRESGID, gid))
		if back == nil {
			runtime.UnlockOSThread() // else the thread ends with this
		}
		done <- errors.Join(err, back)
	}()
	return <-done
}

// real changes the real id of this thread alone.
func real(call uintptr, id int) error {
	const same = ^uintptr(0)
	if _, _, errno := syscall.RawSyscall(call, uintptr(id), same, same); errno != 0 {
		return errno
	}
	return nil
}
