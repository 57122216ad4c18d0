//go:build !linux

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

// startLimited starts a process; here only the caller's deadline bounds it.
func startLimited(cmd *exec.Cmd, _ limits) error { return cmd.Start() }
