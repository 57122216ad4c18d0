//go:build !linux

package unprivileged

import (
	"os/exec"
	"runtime"
)

// Apart calls do on a thread of its own, which ends with it.
func Apart(do func()) {
	go func() {
		runtime.LockOSThread()
		do()
	}()
}

// Forgo takes nothing from this thread: only Linux knows how.
func Forgo() error { return nil }

// Start starts a command.
func Start(cmd *exec.Cmd) error { return cmd.Start() }
