package supervise

import (
	"bytes"

	"github.com/shirou/gopsutil/v4/process"
	"golang.org/x/sys/unix"
)

// zombie is the system's word for a process that has ended and was not reaped.
const zombie = 5

func statOf(pid int) (procStat, bool) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return procStat{}, false
	}
	started := info.Proc.P_starttime
	stat := procStat{group: int(info.Eproc.Pgid), ticks: uint64(started.Sec)*1e6 + uint64(started.Usec), parent: int(info.Eproc.Ppid)} //nolint:gosec // only compared
	if info.Proc.P_stat == zombie {
		stat.state = 'Z'
	}
	return stat, true
}

// carries reports whether the process was started with the environment entry.
func carries(pid int, entry string) bool {
	raw, err := unix.SysctlRaw("kern.procargs2", pid) // their number, the program, arguments and environment
	if err != nil {
		return false
	}
	for have := range bytes.SplitSeq(raw, []byte{0}) {
		if string(have) == entry {
			return true
		}
	}
	return false
}

// rssOf returns the resident memory of a process in bytes, 0 when it is gone.
func rssOf(pid int) int64 {
	memory, err := (&process.Process{Pid: int32(pid)}).MemoryInfo() //nolint:gosec // a pid
	if err != nil {
		return 0
	}
	return int64(memory.RSS) //nolint:gosec // far below
}

// inGroup lists the processes of a process group, the dead that nobody has reaped among them.
func inGroup(group int) []int {
	list, _ := unix.SysctlKinfoProcSlice("kern.proc.pgrp", group)
	found := make([]int, len(list))
	for i := range list {
		found[i] = int(list[i].Proc.P_pid)
	}
	return found
}
