package gpusim

import (
	"context"
	"fmt"
	"time"
)

// process is one connection: a process on a device once it has attached.
type process struct {
	broker *Broker
	pid    int
	gone   context.Context
	on     *device
	memory *allocator
	broken string // why every operation fails from now on
}

func (p *process) do(r Request) Answer {
	if r.Op == OpKernel {
		return p.kernel(r)
	}
	b := p.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	switch r.Op {
	case OpRead:
		var a Answer
		for _, d := range b.devices {
			a.Devices = append(a.Devices, d.reading())
		}
		return a
	case OpSet:
		return p.set(r)
	case OpAttach:
		return p.attach(r)
	}
	if fault := p.unusable(); fault != "" && !p.bookkeeping(r) {
		return Answer{Error: fault}
	}
	switch r.Op {
	case OpAlloc:
		handle, ok := p.memory.alloc(r.Bytes)
		if !ok {
			return p.outOfMemory(r.Bytes)
		}
		return Answer{Handle: handle}
	case OpFree:
		if !p.memory.release(r.Handle) {
			return Answer{Error: fmt.Sprintf("no block %d", r.Handle)}
		}
	case OpEmptyCache:
		p.memory.emptyCache()
	case OpResetPeak:
		p.memory.peakAllocated, p.memory.peakReserved = p.memory.allocated, p.memory.reserved
	case OpStats:
		m := p.memory
		return Answer{Stats: &Stats{m.allocated, m.reserved, m.peakAllocated, m.peakReserved}}
	default:
		return Answer{Error: fmt.Sprintf("unknown operation %q", r.Op)}
	}
	return Answer{}
}

// bookkeeping reports whether an operation is the allocator's own and reaches no device: it goes on in a broken process, as it does in PyTorch.
func (p *process) bookkeeping(r Request) bool {
	if p.broken == "" {
		return false
	}
	switch r.Op {
	case OpFree, OpStats, OpResetPeak:
		return true
	case OpAlloc:
		return p.memory.has(r.Bytes)
	}
	return false
}

func (p *process) unusable() string {
	switch {
	case p.on == nil:
		return "CUDA error: not attached to a device"
	case p.broken != "":
		return p.broken
	case p.on.lost != "":
		return "CUDA error: unknown error: " + p.on.lost
	}
	return ""
}

func (p *process) attach(r Request) Answer {
	d := p.broker.device(r.Device)
	switch {
	case p.on != nil:
		return Answer{Error: "attached already"}
	case d == nil || d.lost != "":
		return Answer{Error: "CUDA error: no CUDA-capable device is detected"}
	}
	if r.PID > 0 {
		p.pid = r.PID
	}
	p.on = d
	if !d.take(p.pid, d.Context) {
		p.on = nil
		return Answer{Error: "CUDA error: out of memory", OOM: true}
	}
	p.memory = newAllocator(r.Expandable, func(n int64) bool { return d.take(p.pid, n) }, func(n int64) { d.give(p.pid, n) })
	return Answer{Device: d.ID, Total: d.Total}
}

func (p *process) outOfMemory(bytes int64) Answer {
	const gib = 1 << 30
	d := p.on
	return Answer{OOM: true, Error: fmt.Sprintf(
		"CUDA out of memory. Tried to allocate %.2f GiB. GPU 0 has a total capacity of %.2f GiB of which %.2f GiB is free. "+
			"Of the allocated memory %.2f GiB is allocated by PyTorch, and %.2f GiB is reserved by PyTorch but unallocated.",
		float64(bytes)/gib, float64(d.Total)/gib, float64(d.Total-d.used())/gib, float64(p.memory.allocated)/gib,
		float64(p.memory.reserved-p.memory.allocated)/gib)}
}

func (p *process) kernel(r Request) Answer {
	b := p.broker
	b.mu.Lock()
	fault := p.unusable()
	if fault == "" {
		p.on.running++
	}
	b.mu.Unlock()
	if fault != "" {
		return Answer{Error: fault}
	}
	if r.Fault == FaultHang {
		<-p.gone.Done()
	} else {
		timer := time.NewTimer(time.Duration(r.Seconds * p.on.TimeScale * float64(time.Second)))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.gone.Done():
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p.on.running--
	switch r.Fault {
	case FaultAssert:
		p.on.xid(43)
		p.broken = "CUDA error: device-side assert triggered"
	case FaultIllegal:
		p.on.xid(31)
		p.broken = "CUDA error: an illegal memory access was encountered"
	case FaultXid:
		p.on.xid(62)
		p.broken = "CUDA error: unspecified launch failure"
	case FaultECC:
		p.on.ecc++
		p.on.xid(48)
		p.broken = "CUDA error: uncorrectable ECC error encountered"
	case FaultLost:
		p.on.xid(79)
		p.on.lost = "GPU is lost"
	}
	return Answer{Error: p.unusable()}
}

func (p *process) set(r Request) Answer {
	d := p.broker.device(r.Device)
	if d == nil {
		return Answer{Error: "no such device"}
	}
	if r.Strangers != nil {
		d.strangers = *r.Strangers
	}
	switch r.Fault {
	case FaultXid:
		d.xid(62)
	case FaultECC:
		d.ecc++
	case FaultLost:
		d.lost = "GPU is lost"
	}
	return Answer{}
}

// end gives back what the process holds, as late as the device does.
func (p *process) end() {
	b := p.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.on == nil {
		return
	}
	d, bytes := p.on, p.on.Context
	if p.memory != nil {
		bytes += p.memory.reserved
	}
	if d.ReleaseAfter == 0 {
		d.give(p.pid, bytes)
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(d.ReleaseAfter, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.timers, timer)
		d.give(p.pid, bytes)
	})
	b.timers[timer] = struct{}{}
}
