package faults

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/pdfmill/pdfmill/"

// services are the stages' processes.
var services = []string{"ingest", "validator", "gpu-runner", "publisher"}

// built is the folder that binaries made, to be removed in the end.
var built string

// binaries builds, once a run, the service processes with crash points in them, and the servers; all of them feel the weather.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pdfmill-faults-")
	if err != nil {
		return "", err
	}
	built = dir
	goroot, err := exec.CommandContext(context.Background(), "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	library, err := overlay(dir, strings.TrimSpace(string(goroot)))
	if err != nil {
		return "", fmt.Errorf("change the standard library: %w", err)
	}
	args := []string{"build", "-overlay", library, "-tags", "crashpoints", "-o", dir + "/", module + "embedded/standalone"}
	for _, s := range services {
		args = append(args, module+"services/"+s+"/cmd/"+s)
	}
	if out, err := exec.CommandContext(context.Background(), "go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the programs under test: %w\n%s", err, out)
	}
	return dir, nil
})

func binary(t testing.TB, name string) string {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}
