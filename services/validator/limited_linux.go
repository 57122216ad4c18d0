package validator

import (
	"errors"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
)

// limits of a child process.
type limits struct {
	user      *unprivileged.User // nil: that of this process
	memory    int64              // bytes of address space
	cpu       time.Duration
	fileBytes int64 // of a file that it writes
}

// startLimited starts a process that ends with this one, and limits it within its first microseconds, long before a document can fill its memory.
func startLimited(cmd *exec.Cmd, l limits) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: l.user.Credential()}
	if err := cmd.Start(); err != nil {
		return err
	}
	for resource, bound := range map[int]uint64{
		unix.RLIMIT_AS: uint64(l.memory), unix.RLIMIT_CPU: uint64(l.cpu / time.Second), unix.RLIMIT_FSIZE: uint64(l.fileBytes), unix.RLIMIT_CORE: 0,
	} {
		if err := l.user.Limit(cmd.Process.Pid, resource, bound); err != nil && !errors.Is(err, unix.ESRCH) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return err
		}
	}
	return nil
}
