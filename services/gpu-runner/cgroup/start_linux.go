package cgroup

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Start starts a command that is in the group from its first instruction. The goroutine must be locked to its thread, which version 1 takes into the group for
// as long as that lasts: a child begins where the thread is that starts it.
func (g *Group) Start(cmd *exec.Cmd) error {
	switch {
	case g == nil:
		return cmd.Start()
	case g.tree.home != "":
		thread := strconv.Itoa(unix.Gettid())
		if err := elsewhere(func() error { return write(filepath.Join(g.dir, "tasks"), thread) }); err != nil {
			return fmt.Errorf("enter a control group: %w", err)
		}
		started := cmd.Start()
		if err := elsewhere(func() error { return write(filepath.Join(g.tree.home, "tasks"), thread) }); err != nil && started == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return fmt.Errorf("leave a control group: %w", err)
		}
		return started
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(g.folder.Fd())
	return cmd.Start()
}

// elsewhere does something on another thread: this one may have given up the files that it takes.
func elsewhere(do func() error) error {
	done := make(chan error)
	go func() { done <- do() }()
	return <-done
}
