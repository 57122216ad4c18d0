package supervise

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

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

// inGroup lists the processes of a process group, the dead that nobody has reaped among them.
func inGroup(group int) []int {
	entries, _ := os.ReadDir("/proc")
	var found []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			if stat, ok := statOf(pid); ok && stat.group == group {
				found = append(found, pid)
			}
		}
	}
	return found
}

func procPath(pid int, file string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), file)
}
