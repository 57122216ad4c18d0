package devices_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

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
	_ = m.Close()
	devicestest.RunConformance(t, devicestest.Subject{Open: func(t *testing.T) devices.Meter {
		m, err := devices.OpenNVML()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}})
}
