package validator

import (
	"os/exec"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
)

// limits of a child process.
type limits struct {
	user      *unprivileged.User // nil: that of this process
	memory    int64              // bytes of address space
	cpu       time.Duration
	fileBytes int64 // of a file that it writes
}

// startLimited starts a process that ends with this one, and limits it within its first microseconds, long before a document can fill its memory. Where the system
// knows neither (all but Linux) only the caller's deadline bounds it.
func startLimited(cmd *exec.Cmd, l limits) error {
	cmd.SysProcAttr = unprivileged.Child(l.user)
	if err := unprivileged.Start(cmd); err != nil {
		return err
	}
	if err := l.impose(cmd.Process.Pid); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	return nil
}
