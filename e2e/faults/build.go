package faults

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/pdfmill/pdfmill/e2e/weather"
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
	args := []string{"-tags", "crashpoints", module + "embedded/standalone"}
	for _, s := range services {
		args = append(args, module+"services/"+s+"/cmd/"+s)
	}
	return dir, weather.Build(dir, args...)
})

func binary(t testing.TB, name string) string {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}
