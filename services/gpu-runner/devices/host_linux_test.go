package devices

import (
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheControlGroupsLimitCounts(t *testing.T) {
	for name, c := range map[string]struct {
		group       map[string]string
		membership  string
		total, used int64
	}{
		"no limit":     {map[string]string{"a/memory.max": "max", "a/memory.current": "1"}, "0::/a", 1000 << 10, 400 << 10},
		"v2":           {map[string]string{"a/memory.max": "512000", "a/memory.current": "300000", "a/memory.stat": "inactive_file 100000\n"}, "0::/a", 512000, 200000},
		"of a parent":  {map[string]string{"memory.max": "512000", "memory.current": "300000"}, "0::/a", 512000, 300000},
		"v1":           {map[string]string{"memory/a/memory.limit_in_bytes": "512000", "memory/a/memory.usage_in_bytes": "300000", "memory/a/memory.stat": "total_inactive_file 1000\n"}, "5:memory:/a", 512000, 299000},
		"a full house": {map[string]string{"a/memory.max": "1000000", "a/memory.current": "1000"}, "0::/a", 1000000, 1000000 - 600<<10},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "proc/meminfo"), "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 600 kB\n")
		write(t, filepath.Join(dir, "proc/self/cgroup"), c.membership+"\n")
		for file, text := range c.group {
			write(t, filepath.Join(dir, "cgroup", file), text)
		}
		h := &Host{source: source{proc: filepath.Join(dir, "proc"), cgroup: filepath.Join(dir, "cgroup")}}
		list, err := h.Read(t.Context())
		if err != nil || list[0].Total != c.total || list[0].Used != c.used {
			t.Errorf("%s: %+v, %v", name, list, err)
		}
	}
}
