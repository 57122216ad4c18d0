package faults

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

const module = "github.com/pdfmill/pdfmill/"

// services are the stages' processes.
var services = []string{"ingest", "validator", "gpu-runner", "publisher"}

// binaries builds, once a run, the service processes with crash points in them, and the servers.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pdfmill-faults-")
	if err != nil {
		return "", err
	}
	targets := map[string]string{"standalone": module + "embedded/standalone"}
	for _, s := range services {
		targets[s] = module + "services/" + s + "/cmd/" + s
	}
	for name, target := range targets {
		cmd := exec.CommandContext(context.Background(), "go", "build", "-tags", "crashpoints", "-o", filepath.Join(dir, name), target)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", target, err, out)
		}
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
