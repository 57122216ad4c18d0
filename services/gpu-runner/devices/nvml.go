//go:build linux && cgo

package devices

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// NVML reads real GPUs.
type NVML struct {
	lib nvml.Interface

	mu      sync.Mutex
	closed  bool
	devices []nvmlDevice
	events  nvml.EventSet // nil where the driver has none
	watch   sync.WaitGroup
	stop    chan struct{}
	xids    map[string][]uint64
}

type nvmlDevice struct {
	nvml.Device
	id, model, kind string
}

// OpenNVML loads the driver's library, as late as now: a machine without one gets an error that wraps ErrNoDriver.
func OpenNVML() (*NVML, error) { return openNVML(nvml.New()) }

func openNVML(lib nvml.Interface) (*NVML, error) {
	if ret := lib.Init(); ret != nvml.SUCCESS {
		why := "libnvidia-ml.so.1 can't be loaded"
		if ret != nvml.ERROR_LIBRARY_NOT_FOUND {
			why = lib.ErrorString(ret)
		}
		return nil, fmt.Errorf("%w: %s", ErrNoDriver, why)
	}
	m := &NVML{lib: lib, stop: make(chan struct{}), xids: map[string][]uint64{}}
	if err := m.find(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	if len(m.devices) == 0 {
		return nil, errors.Join(fmt.Errorf("%w: the driver knows no device", ErrNoDriver), m.Close())
	}
	m.listen()
	return m, nil
}

// find lists the devices; a partitioned one is replaced by its instances.
func (m *NVML) find() error {
	n, ret := m.lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		return m.fault("count devices", ret)
	}
	for i := range n {
		device, ret := m.lib.DeviceGetHandleByIndex(i)
		if ret != nvml.SUCCESS {
			return m.fault(fmt.Sprintf("open device %d", i), ret)
		}
		if mode, _, ret := device.GetMigMode(); ret == nvml.SUCCESS && mode == nvml.DEVICE_MIG_ENABLE {
			parts, err := m.instances(device)
			if err != nil {
				return err
			}
			m.devices = append(m.devices, parts...)
			continue
		}
		d, err := m.describe(device, KindGPU)
		if err != nil {
			return err
		}
		m.devices = append(m.devices, d)
	}
	return nil
}

// instances returns the MIG instances of a partitioned device.
func (m *NVML) instances(device nvml.Device) ([]nvmlDevice, error) {
	most, ret := device.GetMaxMigDeviceCount()
	if ret != nvml.SUCCESS {
		return nil, m.fault("count MIG instances", ret)
	}
	var parts []nvmlDevice
	for i := range most {
		part, ret := device.GetMigDeviceHandleByIndex(i)
		if ret == nvml.ERROR_NOT_FOUND || ret == nvml.ERROR_INVALID_ARGUMENT {
			continue // the slot is empty
		}
		if ret != nvml.SUCCESS {
			return nil, m.fault(fmt.Sprintf("open MIG instance %d", i), ret)
		}
		d, err := m.describe(part, KindMIG)
		if err != nil {
			return nil, err
		}
		parts = append(parts, d)
	}
	return parts, nil
}

func (m *NVML) describe(device nvml.Device, kind string) (nvmlDevice, error) {
	id, ret := device.GetUUID()
	if ret != nvml.SUCCESS {
		return nvmlDevice{}, m.fault("name a device", ret)
	}
	model, ret := device.GetName()
	if ret != nvml.SUCCESS {
		return nvmlDevice{}, m.fault("name device "+id, ret)
	}
	return nvmlDevice{Device: device, id: id, model: model, kind: kind}, nil
}

// Read implements Meter.
func (m *NVML) Read(ctx context.Context) ([]Reading, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	readings := make([]Reading, 0, len(m.devices))
	for _, d := range m.devices {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read devices: %w", err)
		}
		readings = append(readings, m.read(d))
	}
	return readings, nil
}

func (m *NVML) read(d nvmlDevice) Reading {
	r := Reading{ID: d.id, Model: d.model, Kind: d.kind, Utilisation: -1}
	memory, ret := d.GetMemoryInfo()
	if ret != nvml.SUCCESS {
		r.Lost = m.lib.ErrorString(ret)
		return r
	}
	r.Total, r.Used = int64(memory.Total), int64(memory.Used) //nolint:gosec // no device has 2⁶³ bytes
	r.Processes = processes(d)
	if use, ret := d.GetUtilizationRates(); ret == nvml.SUCCESS {
		r.Utilisation = float64(use.Gpu) / 100
	}
	if degrees, ret := d.GetTemperature(nvml.TEMPERATURE_GPU); ret == nvml.SUCCESS {
		r.Temperature = int(degrees)
	}
	if n, ret := d.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.VOLATILE_ECC); ret == nvml.SUCCESS {
		r.ECCErrors = n
	}
	if seen := m.xids[d.id]; len(seen) > 0 {
		r.Xids, r.LastXid = uint64(len(seen)), seen[len(seen)-1]
	}
	return r
}

// notAvailable is what the driver says of a process whose memory it doesn't tell.
const notAvailable = ^uint64(0)

// processes returns what each process holds, nil where the driver doesn't say.
func processes(d nvmlDevice) map[int]int64 {
	list, ret := d.GetComputeRunningProcesses()
	if ret != nvml.SUCCESS {
		return nil
	}
	held := map[int]int64{}
	for _, p := range list {
		if p.UsedGpuMemory == notAvailable {
			return nil
		}
		held[int(p.Pid)] += int64(p.UsedGpuMemory) //nolint:gosec // no device has 2⁶³ bytes
	}
	return held
}

// listen begins to collect critical errors, where the driver reports them.
func (m *NVML) listen() {
	events, ret := m.lib.EventSetCreate()
	if ret != nvml.SUCCESS {
		return
	}
	registered := false
	for _, d := range m.devices {
		registered = d.kind == KindGPU && d.RegisterEvents(nvml.EventTypeXidCriticalError, events) == nvml.SUCCESS || registered
	}
	if !registered {
		_ = events.Free() // nothing was registered with it
		return
	}
	m.events = events
	m.watch.Go(m.collect)
}

func (m *NVML) collect() {
	const wait = 500 // ms: how long Close may wait for this
	for {
		select {
		case <-m.stop:
			return
		default:
		}
		event, ret := m.events.Wait(wait)
		if ret == nvml.ERROR_TIMEOUT {
			continue
		}
		if ret != nvml.SUCCESS {
			return
		}
		if id, ret := event.Device.GetUUID(); ret == nvml.SUCCESS {
			m.mu.Lock()
			m.xids[id] = append(m.xids[id], event.EventData)
			m.mu.Unlock()
		}
	}
}

// Close implements Meter.
func (m *NVML) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	close(m.stop)
	m.mu.Unlock()
	m.watch.Wait()
	if m.events != nil {
		_ = m.events.Free() // the library goes next
	}
	if ret := m.lib.Shutdown(); ret != nvml.SUCCESS {
		return m.fault("close the driver's library", ret)
	}
	return nil
}

func (m *NVML) fault(what string, ret nvml.Return) error {
	return fmt.Errorf("NVML: %s: %s", what, m.lib.ErrorString(ret))
}
