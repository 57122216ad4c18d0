package supervise

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// procStat is what /proc/PID/stat says of a process that this package cares about.
type procStat struct {
	state  byte // 'Z' is a zombie
	group  int
	ticks  uint64 // start time in clock ticks since boot: with the pid it names a process for good
	parent int
}

func statOf(pid int) (procStat, bool) {
	raw, err := os.ReadFile(procPath(pid, "stat"))
	if err != nil {
		return procStat{}, false
	}
	// The command, in brackets, may hold spaces and brackets: count fields from the last one.
	end := bytes.LastIndexByte(raw, ')')
	fields := strings.Fields(string(raw[end+1:]))
	if end < 0 || len(fields) < 20 {
		return procStat{}, false
	}
	parent, err1 := strconv.Atoi(fields[1])
	group, err2 := strconv.Atoi(fields[2])
	ticks, err3 := strconv.ParseUint(fields[19], 10, 64)
	return procStat{state: fields[0][0], group: group, ticks: ticks, parent: parent}, err1 == nil && err2 == nil && err3 == nil
}

// carries reports whether the process was started with the environment entry.
func carries(pid int, entry string) bool {
	raw, err := os.ReadFile(procPath(pid, "environ"))
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
	raw, err := os.ReadFile(procPath(pid, "statm"))
	if err != nil {
		return 0
	}
	if fields := strings.Fields(string(raw)); len(fields) > 1 {
		pagesResident, _ := strconv.ParseInt(fields[1], 10, 64)
		return pagesResident * int64(os.Getpagesize())
	}
	return 0
}

// members lists the living processes of a process group.
func members(group int) []int {
	if unix.Kill(-group, 0) == unix.ESRCH {
		return nil // the common case, without walking /proc
	}
	entries, _ := os.ReadDir("/proc")
	var living []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			if stat, ok := statOf(pid); ok && stat.group == group && stat.state != 'Z' && stat.state != 'X' {
				living = append(living, pid)
			}
		}
	}
	return living
}

func procPath(pid int, file string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), file)
}
