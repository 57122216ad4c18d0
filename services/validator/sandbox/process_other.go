//go:build !linux

package sandbox

import "syscall"

// attributes put a probe into a process group of its own; it ends when its questions do.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
