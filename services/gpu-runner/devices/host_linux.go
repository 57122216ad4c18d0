package devices

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// source is where the host's memory is read: the roots of the kernel's file systems.
type source struct{ proc, cgroup string }

func openSource() source { return source{proc: "/proc", cgroup: "/sys/fs/cgroup"} }

// memory is how much this process and its children may use, and how much of that is in use.
func (h source) memory() (total, used int64, err error) {
	total, available, err := h.machine()
	if err != nil {
		return 0, 0, err
	}
	used = total - available
	if limit, held, ok := h.group(); ok && limit < total {
		total, used = limit, min(held, limit)
		// The group's limit promises nothing that the machine doesn't have.
		if left := total - used; left > available {
			used = total - available
		}
	}
	return total, used, nil
}

func (h source) machine() (total, available int64, err error) {
	raw, err := os.ReadFile(filepath.Join(h.proc, "meminfo"))
	if err != nil {
		return 0, 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "MemTotal:":
			total = n << 10
		case "MemAvailable:":
			available = n << 10
		}
	}
	if total == 0 {
		return 0, 0, errors.New("meminfo has no MemTotal")
	}
	return total, min(available, total), nil
}

// group returns the tightest limit of this process's control group, and what the group uses without what can be dropped.
func (h source) group() (limit, used int64, ok bool) {
	raw, err := os.ReadFile(filepath.Join(h.proc, "self/cgroup"))
	if err != nil {
		return 0, 0, false
	}
	for line := range strings.Lines(string(raw)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		var dirs []string
		limitFile, usedFile, cacheName := "memory.max", "memory.current", "inactive_file"
		switch {
		case len(parts) != 3:
			continue
		case parts[0] == "0":
			dirs = []string{filepath.Join(h.cgroup, parts[2]), h.cgroup}
		case parts[1] == "memory":
			dirs = []string{filepath.Join(h.cgroup, "memory", parts[2]), filepath.Join(h.cgroup, "memory")}
			limitFile, usedFile, cacheName = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
		}
		for _, dir := range dirs {
			l, okLimit := number(filepath.Join(dir, limitFile))
			u, okUsed := number(filepath.Join(dir, usedFile))
			if okLimit && okUsed && (!ok || l < limit) {
				limit, used, ok = l, max(0, u-entry(filepath.Join(dir, "memory.stat"), cacheName)), true
			}
		}
	}
	return limit, used, ok
}

// processes is the resident memory of each, without what it shares with others.
func (h source) processes() map[int]int64 {
	entries, err := os.ReadDir(h.proc)
	if err != nil {
		return nil
	}
	held := map[int]int64{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(h.proc, e.Name(), "statm"))
		fields := strings.Fields(string(raw))
		if err != nil || len(fields) < 3 {
			continue // it has just ended
		}
		resident, _ := strconv.ParseInt(fields[1], 10, 64)
		shared, _ := strconv.ParseInt(fields[2], 10, 64)
		held[pid] = max(0, resident-shared) * int64(os.Getpagesize()) // shared pages of libraries are counted once, by nobody
	}
	return held
}

// number reads a file with one number; "max" is no number.
func number(path string) (int64, bool) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	return n, err == nil
}

// entry reads one line "name number" of a file; 0 when it isn't there.
func entry(path, name string) int64 {
	raw, _ := os.ReadFile(path)
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			n, _ := strconv.ParseInt(value, 10, 64)
			return n
		}
	}
	return 0
}
