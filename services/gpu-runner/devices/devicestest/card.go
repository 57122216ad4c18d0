package devicestest

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// CardPython names the interpreter with PyTorch and pdfmill-runner that tests on a real card use; "" where there is none: `make test-gpu` sets it.
func CardPython() string { return os.Getenv("PDFMILL_CARD_PYTHON") }

// RunnerTests is the folder of the runner's tests, whose package card is the Python side of these.
func RunnerTests(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		tests := filepath.Join(dir, "runner-py", "tests")
		if _, gone := os.Stat(tests); gone == nil {
			return tests
		}
	}
	t.Fatalf("runner-py/tests is nowhere above the working folder (%v)", err)
	return ""
}

// Process is a process on a real card that does what it is told.
type Process struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader
}

// StartProcess starts one on a device.
func StartProcess(t *testing.T, device string) *Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Minute) // it ends with the test, and surely then
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, CardPython(), "-m", "card.child")
	cmd.Dir = RunnerTests(t)
	cmd.Env = append(os.Environ(), "PDFMILL_GPUSIM=torch", "CUDA_VISIBLE_DEVICES="+device)
	cmd.Stderr = os.Stderr
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
	p := &Process{t: t, cmd: cmd, in: in, lines: bufio.NewReader(out)}
	t.Cleanup(p.Close)
	p.do(map[string]any{"op": "attach"})
	return p
}

// PID is its own.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Alloc takes memory and returns a handle.
func (p *Process) Alloc(bytes int64) int {
	handle, ok := p.TryAlloc(bytes)
	if !ok {
		p.t.Errorf("no room for %d bytes", bytes)
	}
	return handle
}

// TryAlloc is Alloc where there may be no room.
func (p *Process) TryAlloc(bytes int64) (handle int, ok bool) {
	n, ok := p.do(map[string]any{"op": "alloc", "size": bytes}).(float64)
	return int(n), ok
}

// Free gives memory back to the device.
func (p *Process) Free(handle int) {
	p.do(map[string]any{"op": "free", "handle": handle})
	p.do(map[string]any{"op": "empty_cache"})
}

// Kernel computes for so long.
func (p *Process) Kernel(d time.Duration) {
	p.do(map[string]any{"op": "kernel", "seconds": d.Seconds()})
}

func (p *Process) do(request map[string]any) any {
	p.t.Helper()
	err := json.NewEncoder(p.in).Encode(request)
	var line []byte
	if err == nil {
		line, err = p.lines.ReadBytes('\n')
	}
	var answer struct {
		Value any    `json:"value"`
		Class string `json:"class"`
	}
	if err == nil {
		err = json.Unmarshal(line, &answer)
	}
	if err != nil || (answer.Class != "" && answer.Class != "oom") {
		p.t.Errorf("%v: %s, %v", request, line, err)
	}
	return answer.Value
}

// Close ends it.
func (p *Process) Close() {
	_ = p.in.Close()
	_ = p.cmd.Wait() // what it held is what counts
}

// SaveFigures writes what was measured to a file of the folder PDFMILL_FIGURES, if there is one.
func SaveFigures(t *testing.T, name string, figures any) {
	t.Helper()
	dir := os.Getenv("PDFMILL_FIGURES")
	if dir == "" {
		return
	}
	raw, err := json.MarshalIndent(figures, "", " ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), append(raw, '\n'), 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}
