package devices_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices/devicestest"
)

func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv("HOLD")); err == nil {
		hold(n)
	}
	os.Exit(m.Run())
}

// hold takes memory, says so and waits for the end of its standard input.
func hold(n int) {
	memory := make([]byte, n)
	for i := range memory {
		memory[i] = byte(i)
	}
	_, _ = os.Stdout.WriteString("held\n")
	_, _ = os.Stdin.Read(memory[:1])
	runtime.KeepAlive(memory)
	os.Exit(0)
}

func TestHostConforms(t *testing.T) {
	devicestest.RunConformance(t, devicestest.Subject{
		Open:      func(*testing.T) devices.Meter { return devices.OpenHost() },
		HoldBytes: 32 << 20, Slack: 1 << 30, // the race detector keeps several bytes for each
		Hold: func(t *testing.T, _ string, bytes int64) (int, func()) {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), "HOLD="+strconv.FormatInt(bytes, 10))
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			return cmd.Process.Pid, func() { _ = in.Close(); _ = cmd.Wait() }
		},
	})
}

// The real driver's suite runs where there is one; elsewhere the real library must say in one line that there is none.
func TestNVMLConforms(t *testing.T) {
	m, err := devices.OpenNVML()
	if errors.Is(err, devices.ErrNoDriver) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	list, err := m.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = m.Close()
	devicestest.SaveFigures(t, "nvml.json", list)
	subject := devicestest.Subject{Open: func(t *testing.T) devices.Meter {
		m, err := devices.OpenNVML()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}}
	if devicestest.CardPython() != "" {
		subject.HoldBytes, subject.Slack = 2<<30, 1<<30
		subject.Hold = func(t *testing.T, device string, bytes int64) (int, func()) {
			p := devicestest.StartProcess(t, device)
			p.Alloc(bytes)
			return p.PID(), p.Close
		}
	}
	devicestest.RunConformance(t, subject)
	if devicestest.CardPython() != "" {
		t.Run("a stranger at work", seesStranger)
	}
}

// seesStranger looks at what the driver says while a process of another program works.
func seesStranger(t *testing.T) {
	m, err := devices.OpenNVML()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	read := func() devices.Reading {
		list, err := m.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list[0]
	}
	before := read()
	p := devicestest.StartProcess(t, before.ID)
	handle := p.Alloc(4 << 30)
	p.Kernel(2 * time.Second)
	after := read()
	p.Free(handle)
	given := read()
	devicestest.SaveFigures(t, "driver.json", map[string]any{"before": before, "holding": after, "given_back": given, "pid": p.PID()})
	if took := after.Used - before.Used; took < 4<<30 || took > 6<<30 {
		t.Errorf("a process took 4 GiB and a context, and %d more bytes are used", took)
	}
	if back := after.Used - given.Used; back != 4<<30 {
		t.Errorf("4 GiB were given back, and %d bytes less are used", back)
	}
	if after.Utilisation <= 0 || after.Temperature <= 0 {
		t.Errorf("after two seconds of work: %+v", after)
	}
	if after.Xids != 0 || after.Lost != "" {
		t.Errorf("healthy, and yet: %+v", after)
	}
}
