package devices

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
)

// HostID names the host's memory.
const HostID = "host"

// Host reads the host's memory: the machine's, or the part of it that this process's control group may use.
type Host struct {
	proc, cgroup string // roots
	closed       atomic.Bool
}

// OpenHost opens the host's memory.
func OpenHost() *Host { return &Host{proc: "/proc", cgroup: "/sys/fs/cgroup"} }

// Read implements Meter. What a process holds is its resident memory without what it shares with others.
func (h *Host) Read(ctx context.Context) ([]Reading, error) {
	if h.closed.Load() {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read host memory: %w", err)
	}
	total, available, err := h.machine()
	if err != nil {
		return nil, err
	}
	r := Reading{ID: HostID, Model: "memory", Kind: KindHost, Total: total, Used: total - available, Utilisation: -1}
	if limit, used, ok := h.group(); ok && limit < total {
		r.Total, r.Used = limit, min(used, limit)
		// The group's limit promises nothing that the machine doesn't have.
		if left := r.Total - r.Used; left > available {
			r.Used = r.Total - available
		}
	}
	r.Processes = h.processes()
	return []Reading{r}, nil
}

func (h *Host) machine() (total, available int64, err error) {
	raw, err := os.ReadFile(filepath.Join(h.proc, "meminfo"))
	if err != nil {
		return 0, 0, fmt.Errorf("read host memory: %w", err)
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
		return 0, 0, errors.New("read host memory: meminfo has no MemTotal")
	}
	return total, min(available, total), nil
}

// group returns the tightest limit of this process's control group, and what the group uses without what can be dropped.
func (h *Host) group() (limit, used int64, ok bool) {
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

func (h *Host) processes() map[int]int64 {
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

// Close implements Meter.
func (h *Host) Close() error {
	h.closed.Store(true)
	return nil
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
