package gpurunner

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// interpreters knows where interpreters have their programs. It is safe for concurrent use.
type interpreters struct {
	mu    sync.Mutex
	known map[string][]string
}

// whereFrom is what an interpreter is asked: where it, its library and the packages that it finds are.
const whereFrom = `import json, os, sys
print(json.dumps([os.path.realpath(sys.executable), sys.prefix, sys.base_prefix, sys.exec_prefix, *filter(os.path.exists, sys.path)]))
`

// folders are where an interpreter reads its programs from, as user.
func (i *interpreters) folders(ctx context.Context, python string, user *unprivileged.User) ([]string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if found, asked := i.known[python]; asked {
		return found, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "-c", whereFrom)
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH"), "PYTHONNOUSERSITE=1", "PYTHONSAFEPATH=1"}
	cmd.SysProcAttr = unprivileged.Child(user)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	var found []string
	if err == nil {
		err = json.Unmarshal(out, &found)
	}
	if err != nil {
		return nil, failure.New(failure.EngineMissing, "ask where it has its programs", python, fmt.Errorf("%w %s", err, strings.TrimSpace(said.String())))
	}
	if i.known == nil {
		i.known = map[string][]string{}
	}
	i.known[python] = found
	return found, nil
}

// cells is the folder below scratch in which confined workers and servers have theirs.
func cells(scratch string) string { return filepath.Join(scratch, "cells") }

// Whom Config.Confine means.
const (
	confineAll  = "all"
	confineNone = "none"
)

// confine takes from a worker or server the way to more privileges, and the network but for ports; nil: all of it. With auto those keep both that may fetch something, and
// those on a GPU as long as the driver needs a helper with more privileges.
func (c Config) confine(made *supervise.Command, fetches bool, device string, ports *supervise.Ports) {
	simulated := c.GPUSim != "" && c.GPUSim != gpuTorch
	helped := device != "" && !simulated && devices.Ready() != nil
	if made.Confined = c.Confine == confineAll || c.Confine != confineNone && !fetches && !helped; made.Confined {
		made.Ports = ports
	}
}

// enclose gives a worker or server that is confined a cell; but for root on a GPU, to whom it would leave too much (supervise.Command.GPU).
func (c Config) enclose(ctx context.Context, made *supervise.Command, cache, device string) error {
	if !made.Confined || device != "" && made.User == nil && os.Geteuid() == 0 {
		return nil
	}
	var err error
	made.Cell, made.GPU = cells(c.Scratch), device != ""
	if made.Reads, err = c.interpreters.folders(ctx, made.Path, made.User); err != nil {
		return err
	}
	made.Reads = append(made.Reads, c.Marker.Folder(cache))
	if c.Marker.LLM != "" {
		made.Reads = append(made.Reads, c.Marker.LLM)
	}
	return nil
}
