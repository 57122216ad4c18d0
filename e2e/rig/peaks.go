package rig

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/procfs"
)

// Peaks are the most memory that processes of each kind had resident, in bytes: "pdfmill", "probe" (its sandbox), "python" (a worker) …
type Peaks map[string]uint64

// WatchMemory follows a process and all that descend from it until stop is called, which returns the peaks.
func WatchMemory(t testing.TB, pid int) (stop func() Peaks) {
	t.Helper()
	peaks := Peaks{}
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			peaks.look(pid)
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
	return func() Peaks {
		cancel()
		watching.Wait()
		return peaks
	}
}

// look raises the peaks. What the kernel does not tell is about processes that are gone.
func (p Peaks) look(root int) {
	all, err := procfs.AllProcs()
	if err != nil {
		return
	}
	parents := map[int]int{}
	for _, process := range all {
		if stat, err := process.Stat(); err == nil {
			parents[process.PID] = stat.PPID
		}
	}
	for _, process := range all {
		if !descends(process.PID, root, parents) {
			continue
		}
		status, err := process.NewStatus()
		if err != nil {
			continue
		}
		command, err := process.CmdLine()
		if err != nil || len(command) == 0 {
			continue
		}
		kind := kindOf(command)
		p[kind] = max(p[kind], status.VmHWM)
	}
}

func descends(pid, root int, parents map[int]int) bool {
	for pid > 1 && pid != root {
		pid = parents[pid]
	}
	return pid == root
}

func kindOf(command []string) string {
	name := filepath.Base(command[0])
	switch {
	case slices.Contains(command, "probe"):
		return "probe"
	case strings.HasPrefix(name, "python"):
		return "python"
	}
	return name
}
