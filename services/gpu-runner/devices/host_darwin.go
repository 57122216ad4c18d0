package devices

import (
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/process"
)

// source is where the host's memory is read: this system has one place.
type source struct{}

func openSource() source { return source{} }

// memory is how much the machine has, and how much of that is in use and can't be dropped.
func (source) memory() (total, used int64, err error) {
	m, err := mem.VirtualMemory()
	if err != nil {
		return 0, 0, err
	}
	return int64(m.Total), int64(m.Total - min(m.Available, m.Total)), nil //nolint:gosec // far below
}

// processes is the resident memory of each of which this user may know it, with what it shares with others.
func (source) processes() map[int]int64 {
	pids, err := process.Pids()
	if err != nil {
		return nil
	}
	held := map[int]int64{}
	for _, pid := range pids {
		if m, err := (&process.Process{Pid: pid}).MemoryInfo(); err == nil {
			held[int(pid)] = int64(m.RSS) //nolint:gosec // far below
		}
	}
	return held
}
