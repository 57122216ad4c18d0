//go:build linux && cgo

package devices

import (
	"errors"
	"strings"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
)

// scripted is NVIDIA's own stand-in for a driver, with what it leaves open filled in.
func scripted(processes []nvml.ProcessInfo, ret nvml.Return) *server.Server {
	s := dgxa100.New()
	s.ErrorStringFunc = func(r nvml.Return) string { return "scripted error" }
	s.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return nil, nvml.ERROR_NOT_SUPPORTED }
	for _, device := range s.Devices {
		d := device.(*server.Device)
		d.MemoryInfo.Used = 5 << 30
		d.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) { return processes, ret }
		d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{Gpu: 40}, nvml.SUCCESS }
		d.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 61, nvml.SUCCESS }
		d.GetTotalEccErrorsFunc = func(nvml.MemoryErrorType, nvml.EccCounterType) (uint64, nvml.Return) { return 2, nvml.SUCCESS }
	}
	return s
}

func TestNVMLReadsWhatTheDriverSays(t *testing.T) {
	m, err := openNVML(scripted([]nvml.ProcessInfo{{Pid: 7, UsedGpuMemory: 3 << 30}, {Pid: 8, UsedGpuMemory: 1 << 30}}, nvml.SUCCESS))
	if err != nil {
		t.Fatal(err)
	}
	list, err := m.Read(t.Context())
	if err != nil || len(list) != 8 {
		t.Fatalf("%d devices, %v", len(list), err)
	}
	r := list[0]
	if !strings.HasPrefix(r.ID, "GPU-") || r.Kind != KindGPU || r.Used != 5<<30 || r.Processes[7] != 3<<30 || r.Utilisation != 0.4 || r.Temperature != 61 || r.ECCErrors != 2 {
		t.Errorf("%+v", r)
	}
}

func TestADriverThatHidesProcessesIsNotTakenForAnEmptyDevice(t *testing.T) {
	for name, s := range map[string]*server.Server{
		"no permission": scripted(nil, nvml.ERROR_NO_PERMISSION),
		"no figure":     scripted([]nvml.ProcessInfo{{Pid: 7, UsedGpuMemory: notAvailable}}, nvml.SUCCESS),
	} {
		m, err := openNVML(s)
		if err != nil {
			t.Fatal(err)
		}
		list, err := m.Read(t.Context())
		if err != nil || list[0].Processes != nil || list[0].Used == 0 {
			t.Errorf("%s: %+v, %v", name, list[0], err)
		}
	}
}

func TestALostDeviceIsStillListed(t *testing.T) {
	s := scripted(nil, nvml.SUCCESS)
	m, err := openNVML(s)
	if err != nil {
		t.Fatal(err)
	}
	s.Devices[3].(*server.Device).GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) { return nvml.Memory{}, nvml.ERROR_GPU_IS_LOST }
	list, err := m.Read(t.Context())
	if err != nil || len(list) != 8 || list[3].Lost == "" || list[2].Lost != "" {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestMIGInstancesAreDevicesOfTheirOwn(t *testing.T) {
	s := scripted([]nvml.ProcessInfo{}, nvml.SUCCESS)
	parent := s.Devices[1].(*server.Device)
	parent.GetMigModeFunc = func() (int, int, nvml.Return) {
		return nvml.DEVICE_MIG_ENABLE, nvml.DEVICE_MIG_ENABLE, nvml.SUCCESS
	}
	parent.GetMaxMigDeviceCountFunc = func() (int, nvml.Return) { return 7, nvml.SUCCESS }
	parent.GetMigDeviceHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
		if i > 1 {
			return nil, nvml.ERROR_NOT_FOUND
		}
		part := dgxa100.NewDevice(i)
		part.UUID = []string{"MIG-a", "MIG-b"}[i]
		return part, nvml.SUCCESS
	}
	m, err := openNVML(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.devices) != 9 || m.devices[1].id != "MIG-a" || m.devices[2].kind != KindMIG || m.devices[3].kind != KindGPU {
		t.Errorf("%d devices: %+v", len(m.devices), m.devices[1:3])
	}
}

func TestCriticalErrorsAreCounted(t *testing.T) {
	s := scripted(nil, nvml.SUCCESS)
	events := make(chan nvml.EventData, 1)
	set := &mock.EventSet{
		WaitFunc: func(uint32) (nvml.EventData, nvml.Return) {
			select {
			case e := <-events:
				return e, nvml.SUCCESS
			default:
				return nvml.EventData{}, nvml.ERROR_TIMEOUT
			}
		},
		FreeFunc: func() nvml.Return { return nvml.SUCCESS },
	}
	s.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return set, nvml.SUCCESS }
	for _, device := range s.Devices {
		device.(*server.Device).RegisterEventsFunc = func(uint64, nvml.EventSet) nvml.Return { return nvml.SUCCESS }
	}
	m, err := openNVML(s)
	if err != nil {
		t.Fatal(err)
	}
	events <- nvml.EventData{Device: s.Devices[2], EventData: 79}
	for {
		list, err := m.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if list[2].Xids == 1 && list[2].LastXid == 79 && list[1].Xids == 0 {
			break
		}
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func TestWithoutADriverOneLineSaysSo(t *testing.T) {
	m, err := openNVML(nvml.New(nvml.WithLibraryPath("libno-such-driver.so.1")))
	if m != nil || !errors.Is(err, ErrNoDriver) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v, %v", m, err)
	}
}
