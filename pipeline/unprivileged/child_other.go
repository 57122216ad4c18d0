//go:build !linux

package unprivileged

import "syscall"

// Child is how a process is started as the user, nil for that of this process: in a group of its own. This system ends no child with its parent: who must not outlive
// this process sees the end of a pipe from it, has a bound on its processor time, or is found by the next run.
func Child(u *User) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: u.Credential()}
}
