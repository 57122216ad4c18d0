package unprivileged

import (
	"fmt"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// Apart calls do on a thread of its own, which ends with it, and never on the process' first one, which can't end and is what others take for the process. What the thread
// has given up is lost to nobody but the processes that it has started.
func Apart(do func()) {
	go func() {
		runtime.LockOSThread() // and never unlocked: so the thread ends with this function
		if unix.Gettid() != unix.Getpid() {
			do()
			return
		}
		began := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(began)
			do()
		}()
		<-began // on another one, since this is taken
		runtime.UnlockOSThread()
	}()
}

// Forgo takes from this thread, and from every process that it starts, the way to more privileges: a program with the set-user-ID bit stays an ordinary one. There is no way
// back: call it within Apart.
func Forgo() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	return nil
}

// Start starts a command that gets no more privileges than it starts with. The thread that does lives until the process has ended: the kernel takes its end for that of
// the parent.
func Start(cmd *exec.Cmd) error {
	started := make(chan error)
	Apart(func() {
		err := Forgo()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			started <- err
			return
		}
		pid := cmd.Process.Pid
		started <- nil
		for { // it stays for whoever waits for it
			if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR { //nolint:errorlint // a number
				return
			}
		}
	})
	return <-started
}
