package unprivileged

import "syscall"

// Child is how a process is started as the user, nil for that of this process: in a group of its own, and so that the kernel ends it when the thread that starts it
// ends.
func Child(u *User) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: u.Credential()}
}
