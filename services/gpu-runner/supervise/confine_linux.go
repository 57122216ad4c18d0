package supervise

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
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

// confine prepares a child; the thread that starts it does the rest.
func confine(cmd *exec.Cmd, log *slog.Logger) {
	if err := mayBeAlone(); err != nil {
		saidNetwork.Do(func() { log.Warn("workers keep the network: the kernel gives them none of their own", "err", err) })
		return
	}
	alone(cmd.SysProcAttr)
}

// Isolation says what the kernel gives to confined workers, and what it does not; "" is nothing.
func Isolation() (has, lacks string) {
	var missing []string
	if err := mayBeAlone(); err != nil {
		missing = append(missing, fmt.Sprintf("workers keep the network: %v", err))
	}
	version, err := Landlock()
	if err != nil {
		missing = append(missing, fmt.Sprintf("workers of one user can read each other's documents: %v", err))
	}
	return fmt.Sprintf("workers have no network and no files but their own (Landlock %d)", version), strings.Join(missing, "; ")
}
