package supervise

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
	"github.com/pdfmill/pdfmill/services/gpu-runner/cgroup"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

const (
	// groupTime bounds the wait for a killed process group to be gone.
	groupTime = 5 * time.Second
	// oomScore makes the kernel prefer a child, which is replaced, to the service, when the machine has no memory left.
	oomScore = 500
	// maxFiles is how many files a child may have open.
	maxFiles = 4096
)

// isolate makes a command the leader of a group of its own that dies with this process, runs as user, and inherits no descriptor it isn't given.
func isolate(cmd *exec.Cmd, user *unprivileged.User) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: user.Credential()}
	// What this process was itself started with, beyond the standard three, isn't the child's either. Best effort: Linux 5.11 and later.
	_ = unix.CloseRange(protocol.FDRequests, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

// expendable bounds what a child of a user may use and offers it to the kernel first. Best effort: the service works without. There is no limit on address
// space here, because a CUDA process reserves far more of it than it uses. data is that of Command.
func expendable(pid int, user *unprivileged.User, data int64, log *slog.Logger) {
	bounds := map[int]uint64{unix.RLIMIT_NOFILE: maxFiles, unix.RLIMIT_CORE: 0} // a core of a GPU process is many gigabytes
	if data > 0 {
		bounds[unix.RLIMIT_DATA] = uint64(data)
	}
	for resource, bound := range bounds {
		if err := user.Limit(pid, resource, bound); err != nil && !errors.Is(err, unix.ESRCH) {
			log.Warn("a process has a limit less", "resource", resource, "bound", bound, "error", err)
		}
	}
	_ = os.WriteFile(procPath(pid, "oom_score_adj"), []byte(strconv.Itoa(oomScore)), 0)
}

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

// awaitExit waits for the end of a child and leaves it unreaped, so that its pid and group keep their numbers.
func awaitExit(pid int) {
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			return
		}
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
