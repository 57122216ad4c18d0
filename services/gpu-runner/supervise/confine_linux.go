package supervise

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A confined child gets no privileges but those it starts with (a program with the set-user-ID bit stays an ordinary one), and a network namespace of its own,
// in which there is nobody, not even itself. Pipes and files are all that a worker needs. Where the kernel allows no namespaces it keeps the network.

// alone puts a process into a network namespace of its own; who may not make one does it in a user namespace, in which its user is who it was.
func alone(to *syscall.SysProcAttr) {
	to.Cloneflags |= syscall.CLONE_NEWNET
	if os.Geteuid() == 0 {
		return
	}
	to.Cloneflags |= syscall.CLONE_NEWUSER
	to.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
	to.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
}

// mayBeAlone tries once whether the kernel allows it.
var mayBeAlone = sync.OnceValue(func() error {
	program, err := exec.LookPath("true")
	if err != nil {
		return err
	}
	cmd := exec.Command(program) //nolint:noctx // it does nothing
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	alone(cmd.SysProcAttr)
	return cmd.Run()
})

var saidNetwork sync.Once

// confine prepares a child; forgo, called on the thread that starts it, does the rest.
func confine(cmd *exec.Cmd, log *slog.Logger) {
	if err := mayBeAlone(); err != nil {
		saidNetwork.Do(func() { log.Warn("workers keep the network: the kernel gives them none of their own", "err", err) })
		return
	}
	alone(cmd.SysProcAttr)
}

// forgo takes from this thread, and from every process that it starts, the way to more privileges. There is no way back: the thread must not be used for more.
func forgo() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	return nil
}
