package supervise

import "golang.org/x/sys/unix"

// procStat is what the system says of a process that this package cares about.
type procStat struct {
	state  byte // 'Z' is a zombie
	group  int
	ticks  uint64 // start time in a unit of the system's: with the pid it names a process for good
	parent int
}

// members lists the living processes of a process group.
func members(group int) []int {
	if unix.Kill(-group, 0) == unix.ESRCH {
		return nil // the common case, without a look at every process
	}
	var living []int
	for _, pid := range inGroup(group) {
		if stat, ok := statOf(pid); ok && stat.group == group && stat.state != 'Z' && stat.state != 'X' {
			living = append(living, pid)
		}
	}
	return living
}
