package supervise

import (
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/services/gpu-runner/cgroup"
)

// groupTime bounds the wait for a killed process group to be gone.
const groupTime = 5 * time.Second

// ownGroup makes a child's control group; without one it has only the limits of expendable.
func ownGroup(groups *cgroup.Tree, memory int64, log *slog.Logger) *cgroup.Group {
	group, err := groups.New(memory)
	if err != nil {
		log.Warn("a process starts without a control group of its own", "error", err)
	}
	return group
}

// endControlGroup also ends what has left the process group.
func endControlGroup(group *cgroup.Group, log *slog.Logger) {
	if err := group.Remove(); err != nil {
		log.Error("a control group stays behind", "error", err)
	}
}

// killGroup must not be called once the leader is reaped.
func killGroup(pid int, log *slog.Logger) {
	if err := unix.Kill(-pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		log.Error("can't kill the process group", "error", err)
	}
}

// endGroup kills what the dead leader has left, and waits until it is gone.
func endGroup(pid int, log *slog.Logger) {
	for deadline := time.Now().Add(groupTime); ; time.Sleep(2 * time.Millisecond) {
		killGroup(pid, log)
		left := members(pid)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			log.Error("processes of the group survive SIGKILL", "pids", left)
			return
		}
	}
}
