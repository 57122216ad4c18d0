package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Machine is what the figures were measured on, and with which versions.
type Machine struct {
	Cores     int    `json:"cores"`
	MemoryGiB int    `json:"memory_gib"`
	CPU       string `json:"cpu"`
	Kernel    string `json:"kernel"`
	Pdfmill   string `json:"pdfmill"`
	Go        string `json:"go"` // of this program; the binary is built by the same make
	Python    string `json:"python"`
	Liteparse string `json:"liteparse"`
}

func (m Machine) String() string {
	return fmt.Sprintf("%d cores (%s), %d GiB, Linux %s; pdfmill %s, %s, Python %s, liteparse %s", m.Cores, m.CPU, m.MemoryGiB, m.Kernel, m.Pdfmill, m.Go, m.Python, m.Liteparse)
}

func describe(ctx context.Context, r *rig) Machine {
	m := Machine{Cores: runtime.NumCPU(), CPU: field("/proc/cpuinfo", "model name"), Go: runtime.Version()}
	var kib int
	_, _ = fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%d", &kib)
	m.MemoryGiB = (kib + 1<<19) >> 20
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease") // unknown is empty
	m.Kernel, _, _ = strings.Cut(strings.TrimSpace(string(release)), "-")
	m.Pdfmill = said(ctx, r.binary(), "version")
	const ask = "import platform, importlib.metadata as m; print(platform.python_version(), m.version('liteparse'))"
	m.Python, m.Liteparse, _ = strings.Cut(said(ctx, r.python, "-c", ask), " ")
	return m
}

// said is the first line that a command prints, "" when it fails.
func said(ctx context.Context, command string, args ...string) string {
	out, err := exec.CommandContext(ctx, command, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimPrefix(line, "pdfmill ")
}

// field is the value of the first line "name : value" of a file.
func field(path, name string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// load is the load average of the last minute.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg") // unknown is empty
	minute, _, _ := strings.Cut(string(text), " ")
	return minute
}
