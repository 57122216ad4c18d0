package supervise

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// OOMCounter tells a kill by the kernel's out-of-memory killer from any other SIGKILL, by the counter of our cgroup. The zero value,
// and one without a readable counter, never accuses the kernel. It is safe for concurrent use.
type OOMCounter struct {
	path string
	mu   sync.Mutex
	seen uint64
}

// NewOOMCounter reads the counter at path: a file with a line "oom_kill N" (cgroup v2 memory.events, v1 memory.oom_control, or
// /proc/vmstat). With an empty path it finds the one of this process's cgroup.
func NewOOMCounter(path string) *OOMCounter {
	if path == "" {
		path = findOOMCounter("/proc/self/cgroup", "/sys/fs/cgroup")
	}
	c := &OOMCounter{path: path}
	c.seen, _ = c.read()
	return c
}

// Claim reports whether the kernel has killed for memory since the last kill that was claimed. Each kill is claimed once, so that one
// out-of-memory kill doesn't explain two deaths.
func (c *OOMCounter) Claim() bool {
	if c == nil || c.path == "" {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now, ok := c.read()
	if !ok || now <= c.seen {
		return false
	}
	c.seen++
	return true
}

func (c *OOMCounter) read() (uint64, bool) {
	raw, err := os.ReadFile(c.path)
	if err != nil {
		return 0, false
	}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "oom_kill "); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// findOOMCounter looks for the counter of our own cgroup, then of the root that a container sees, then of the machine.
func findOOMCounter(membership, root string) string {
	var candidates []string
	raw, _ := os.ReadFile(membership)
	for line := range strings.Lines(string(raw)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) != 3:
		case parts[0] == "0":
			candidates = append(candidates, filepath.Join(root, parts[2], "memory.events"), filepath.Join(root, "memory.events"))
		case parts[1] == "memory":
			candidates = append(candidates, filepath.Join(root, "memory", parts[2], "memory.oom_control"), filepath.Join(root, "memory", "memory.oom_control"))
		}
	}
	for _, path := range append(candidates, "/proc/vmstat") {
		if _, ok := (&OOMCounter{path: path}).read(); ok {
			return path
		}
	}
	return ""
}
