package e2e

import (
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// TestGPUsAreLentAndTakenBack: the operator sees who holds a (simulated) GPU's memory, gets all of it, and gives it back.
func TestGPUsAreLentAndTakenBack(t *testing.T) {
	dir := t.TempDir()
	socket, gpusim := filepath.Join(dir, "gpu"), filepath.Join(dir, "gpusim")
	rig.Build(t, gpusim, "github.com/pdfmill/pdfmill/services/gpu-runner/gpusim/cmd/gpusim")
	simulator := rig.Start(t, nil, gpusim, "--socket", socket, "--gib", "24", "--release-after", "50ms", "--time-scale", "0.01")
	defer simulator.Kill()
	t.Setenv("PDFMILL_GPUSIM", socket)
	t.Setenv("PDFMILL_SIM_TIME_SCALE", "0.001")
	simulator.Await("it listens", func() bool { return answers(t, socket) })
	data := filepath.Join(dir, "data")
	rig.Up(t, data, "--serve", "text,sim", "--engines", "text,sim", "--workers", "2")
	pdfmill := func(args ...string) rig.Output { return rig.Run(t, append(args, "--data", data)...) }
	status := func() event.GPUAnswer {
		var a event.GPUAnswer
		if out := pdfmill("gpu", "status", "--json"); out.Code != 0 || json.Unmarshal([]byte(out.Stdout), &a) != nil || len(a.Devices) < 1 {
			t.Fatalf("exit %d, %s%s", out.Code, out.Stdout, out.Stderr)
		}
		return a
	}
	pipelinetest.Eventually(t, "a worker is on the GPU", func() bool { return status().Devices[0].Workers > 0 && status().Devices[0].Used > 3<<30 })
	if out := pdfmill("gpu", "status"); out.Code != 0 || !strings.Contains(out.Stdout, "sim-0") || !strings.Contains(out.Stdout, "open") {
		t.Errorf("exit %d, %s%s", out.Code, out.Stdout, out.Stderr)
	}

	if out := pdfmill("gpu", "lend", "--device", "sim-1"); out.Code != 2 || !strings.Contains(out.Stderr, "sim-0") {
		t.Errorf("a GPU that isn't there: exit %d, %s%s", out.Code, out.Stdout, out.Stderr)
	}
	if out := pdfmill("gpu", "lend", "--for", "25h"); out.Code != 2 {
		t.Errorf("for too long: exit %d, %s%s", out.Code, out.Stdout, out.Stderr)
	}
	var loan event.GPUAnswer
	if out := pdfmill("gpu", "lend", "--for", "1h", "--json"); out.Code != 0 || json.Unmarshal([]byte(out.Stdout), &loan) != nil || loan.Free != 24<<30 || loan.Until.IsZero() {
		t.Errorf("exit %d, %s%s", out.Code, out.Stdout, out.Stderr)
	}
	if d := status().Devices[0]; d.Used != 0 || !strings.HasPrefix(d.Closed, "lent until") {
		t.Errorf("%+v", d)
	}
	if out := pdfmill("gpu", "return"); out.Code != 0 || !strings.Contains(out.Stdout, "open") {
		t.Errorf("exit %d, %s%s", out.Code, out.Stdout, out.Stderr)
	}
	if d := status().Devices[0]; d.Closed != "" {
		t.Errorf("%+v", d)
	}
}

func TestWithoutGPUsTheCommandSaysSo(t *testing.T) {
	data := t.TempDir()
	rig.Up(t, data)
	for _, command := range []string{"status", "lend", "return"} {
		if out := rig.Run(t, "gpu", command, "--data", data); out.Code != 1 || !strings.Contains(out.Stderr, "no gpu-runner with a GPU answers") {
			t.Errorf("%s: exit %d, %s%s", command, out.Code, out.Stdout, out.Stderr)
		}
	}
}

// answers reports whether something listens at a unix socket.
func answers(t *testing.T, socket string) bool {
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}
