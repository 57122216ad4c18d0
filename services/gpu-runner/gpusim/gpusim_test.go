package gpusim_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices/devicestest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/gpusim"
)

const (
	mib     = 1 << 20
	gib     = 1 << 30
	context = 610 * mib
)

func broker(t *testing.T, c gpusim.DeviceConfig) (*gpusim.Broker, string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	b, err := gpusim.Start(socket, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b, socket
}

type client struct {
	*gpusim.Client
	t *testing.T
}

func attach(t *testing.T, socket string, pid int, expandable bool) client {
	t.Helper()
	c, err := gpusim.Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if a, err := c.Do(gpusim.Request{Op: gpusim.OpAttach, PID: pid, Expandable: expandable}); err != nil || a.Error != "" {
		t.Fatalf("%+v, %v", a, err)
	}
	return client{c, t}
}

func (c client) do(r gpusim.Request) gpusim.Answer {
	c.t.Helper()
	a, err := c.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func (c client) alloc(bytes int64) int {
	c.t.Helper()
	a := c.do(gpusim.Request{Op: gpusim.OpAlloc, Bytes: bytes})
	if a.Error != "" {
		c.t.Fatal(a.Error)
	}
	return a.Handle
}

func TestSimConforms(t *testing.T) {
	_, socket := broker(t, gpusim.DeviceConfig{Total: 24 * gib})
	pid := 1000
	devicestest.RunConformance(t, devicestest.Subject{
		Open: func(t *testing.T) devices.Meter {
			m, err := devices.OpenSim(t.Context(), socket)
			if err != nil {
				t.Fatal(err)
			}
			return m
		},
		HoldBytes: gib, Slack: context + 64*mib,
		Hold: func(t *testing.T, _ string, bytes int64) (int, func()) {
			pid++
			c := attach(t, socket, pid, false)
			c.alloc(bytes)
			return pid, c.Close
		},
	})
}

func TestMemoryIsSharedAndRunsOutAtTheTrueLimit(t *testing.T) {
	b, socket := broker(t, gpusim.DeviceConfig{Total: 8 * gib})
	one, two := attach(t, socket, 1, false), attach(t, socket, 2, false)
	one.alloc(4 * gib)
	b.Strangers("sim-0", gib)
	a := two.do(gpusim.Request{Op: gpusim.OpAlloc, Bytes: 3 * gib})
	if !a.OOM || !strings.HasPrefix(a.Error, "CUDA out of memory") {
		t.Fatalf("%+v", a)
	}
	two.alloc(gib) // an OOM leaves the process usable
	if r := b.Read()[0]; r.Used != 6*gib+2*context || r.Processes[1] != 4*gib+context {
		t.Errorf("%+v", r)
	}
}

func TestCachedMemoryStaysTakenUntilItIsGivenBack(t *testing.T) {
	b, socket := broker(t, gpusim.DeviceConfig{Total: 8 * gib})
	c := attach(t, socket, 1, false)
	h := c.alloc(2 * gib)
	c.do(gpusim.Request{Op: gpusim.OpFree, Handle: h})
	stats := c.do(gpusim.Request{Op: gpusim.OpStats}).Stats
	if stats.Allocated != 0 || stats.Reserved != 2*gib || stats.PeakReserved != 2*gib || b.Read()[0].Used != 2*gib+context {
		t.Errorf("%+v", stats)
	}
	c.alloc(gib) // from the cache
	if used := b.Read()[0].Used; used != 2*gib+context {
		t.Errorf("used %d", used)
	}
	c.do(gpusim.Request{Op: gpusim.OpEmptyCache}) // the segment is in use: nothing to give back
	if used := b.Read()[0].Used; used != 2*gib+context {
		t.Errorf("used %d", used)
	}
}

// Blocks freed here and there can't serve a large one, unless segments are expandable.
func TestFragmentation(t *testing.T) {
	for _, expandable := range []bool{false, true} {
		_, socket := broker(t, gpusim.DeviceConfig{Total: 8 * gib})
		c := attach(t, socket, 1, expandable)
		var handles []int
		for range 30 { // a small block beside a large one, in what was one segment
			c.do(gpusim.Request{Op: gpusim.OpFree, Handle: c.alloc(216 * mib)})
			handles = append(handles, c.alloc(200*mib), c.alloc(16*mib))
		}
		for i := 0; i < len(handles); i += 2 {
			c.do(gpusim.Request{Op: gpusim.OpFree, Handle: handles[i]})
		}
		a := c.do(gpusim.Request{Op: gpusim.OpAlloc, Bytes: 6 * gib})
		c.do(gpusim.Request{Op: gpusim.OpEmptyCache})
		stats := c.do(gpusim.Request{Op: gpusim.OpStats}).Stats
		if expandable != (a.Error == "") || expandable == a.OOM {
			t.Errorf("expandable %t: %q", expandable, a.Error)
		}
		// What is left between small blocks, of pages that they share: less than a page each. A real card wasted 484 MiB here.
		if waste := stats.Reserved - stats.Allocated; expandable && (waste > 30*20*mib || waste < 400*mib) {
			t.Errorf("expandable wastes %d", waste)
		}
	}
}

func TestMemoryComesBackAMomentAfterTheEnd(t *testing.T) {
	b, socket := broker(t, gpusim.DeviceConfig{Total: 8 * gib, ReleaseAfter: 50 * time.Millisecond})
	c := attach(t, socket, 1, false)
	c.alloc(gib)
	ended := time.Now()
	c.Close()
	pipelinetest.Eventually(t, "the memory is free", func() bool { return b.Read()[0].Used == 0 })
	if late := time.Since(ended); late < 50*time.Millisecond {
		t.Errorf("free after %s already", late)
	}
}

func TestFaultsPoisonTheProcessAndNobodyElse(t *testing.T) {
	for fault, word := range map[string]string{
		gpusim.FaultAssert: "device-side assert", gpusim.FaultIllegal: "illegal memory access", gpusim.FaultXid: "launch failure", gpusim.FaultECC: "ECC",
	} {
		b, socket := broker(t, gpusim.DeviceConfig{Total: 8 * gib})
		sick, well := attach(t, socket, 1, false), attach(t, socket, 2, false)
		handle := sick.alloc(32 * mib)
		for _, r := range []gpusim.Request{{Op: gpusim.OpKernel, Fault: fault}, {Op: gpusim.OpKernel}, {Op: gpusim.OpAlloc, Bytes: gib}, {Op: gpusim.OpEmptyCache}} {
			if a := sick.do(r); !strings.Contains(a.Error, word) {
				t.Errorf("%s then %s: %q", fault, r.Op, a.Error)
			}
		}
		// What the allocator does alone goes on, as in PyTorch.
		for _, r := range []gpusim.Request{{Op: gpusim.OpFree, Handle: handle}, {Op: gpusim.OpAlloc, Bytes: 16 * mib}, {Op: gpusim.OpStats}, {Op: gpusim.OpResetPeak}} {
			if a := sick.do(r); a.Error != "" {
				t.Errorf("%s after %s: %q", r.Op, fault, a.Error)
			}
		}
		if a := well.do(gpusim.Request{Op: gpusim.OpKernel}); a.Error != "" {
			t.Errorf("%s reaches another process: %s", fault, a.Error)
		}
		if r := b.Read()[0]; r.Xids != 1 || r.Lost != "" {
			t.Errorf("%s: %+v", fault, r)
		}
	}
}

func TestALostDeviceIsLostForEverybody(t *testing.T) {
	b, socket := broker(t, gpusim.DeviceConfig{Total: 8 * gib})
	one, two := attach(t, socket, 1, false), attach(t, socket, 2, false)
	one.do(gpusim.Request{Op: gpusim.OpKernel, Fault: gpusim.FaultLost})
	if a := two.do(gpusim.Request{Op: gpusim.OpKernel}); !strings.Contains(a.Error, "CUDA error") {
		t.Errorf("%+v", a)
	}
	if r := b.Read()[0]; r.Lost == "" || r.LastXid != 79 {
		t.Errorf("%+v", r)
	}
}

func TestAHungKernelEndsWithItsProcess(t *testing.T) {
	b, socket := broker(t, gpusim.DeviceConfig{Total: 8 * gib})
	c := attach(t, socket, 1, false)
	hung := make(chan error, 1)
	go func() { _, err := c.Do(gpusim.Request{Op: gpusim.OpKernel, Fault: gpusim.FaultHang}); hung <- err }()
	pipelinetest.Eventually(t, "it computes", func() bool { return b.Read()[0].Utilisation == 1 })
	c.Close()
	if err := <-hung; err == nil {
		t.Error("a hung kernel has ended")
	}
	pipelinetest.Eventually(t, "its memory is free", func() bool { r := b.Read()[0]; return r.Used == 0 && r.Utilisation == 0 })
}
