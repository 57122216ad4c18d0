package supervise

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

const (
	// oomScore makes the kernel prefer a child, which is replaced, to the service, when the machine has no memory left.
	oomScore = 500
	// maxFiles is how many files a child may have open.
	maxFiles = 4096
)

// isolate makes a command the leader of a group of its own that dies with this process, runs as user, and inherits no descriptor it isn't given.
func isolate(cmd *exec.Cmd, user *unprivileged.User) {
	cmd.SysProcAttr = unprivileged.Child(user)
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

// awaitExit waits for the end of a child and leaves it unreaped, so that its pid and group keep their numbers.
func awaitExit(pid int) {
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
