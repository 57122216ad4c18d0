package supervise

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

// isolate makes a command the leader of a group of its own that runs as user and inherits no descriptor it isn't given. A worker that has lost this process reads the
// end of its pipe, and goes; a server is found by the next run (Registry).
func isolate(cmd *exec.Cmd, user *unprivileged.User) {
	cmd.SysProcAttr = unprivileged.Child(user)
	// What this process was itself started with, beyond the standard three, isn't the child's either. Best effort.
	open, _ := os.ReadDir("/dev/fd")
	for _, entry := range open {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd >= protocol.FDRequests {
			unix.CloseOnExec(fd)
		}
	}
}

// expendable has nothing to say here: the system bounds no other process, and asks nobody whom it ends when memory runs out.
func expendable(int, *unprivileged.User, int64, *slog.Logger) {}

// awaitExit waits for the end of a child and leaves it unreaped, so that its pid and group keep their numbers. waitid also returns when a child is stopped here.
func awaitExit(pid int) {
	queue, err := unix.Kqueue()
	if err != nil {
		return // whoever reaps the child waits for it; only what it leaves behind may outlive it for longer
	}
	defer unix.Close(queue)
	watch := make([]unix.Kevent_t, 1)
	unix.SetKevent(&watch[0], pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	watch[0].Fflags = unix.NOTE_EXIT
	for {
		// An error of its own is that it has ended already.
		if _, err := unix.Kevent(queue, watch, make([]unix.Kevent_t, 1), nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
