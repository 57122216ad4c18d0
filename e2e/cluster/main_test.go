//go:build cluster

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// TestMain makes everything that needs the network, and then enters namespaces that have none.
func TestMain(m *testing.M) {
	if os.Getenv(insideVariable) != "" {
		if err := furnish(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(rig.Main(m))
	}
	dir, err := prepare()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	skewed, err := os.MkdirTemp("", "pdfmill-skewed-")
	if err == nil && os.Getenv("PDFMILL_BEFORE") == "" { // two versions are tried with clocks that are right
		err = buildSkewed(skewed)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code, ok := enter([]string{rig.BinVariable + "=" + dir, skewedVariable + "=" + skewed})
	if ok {
		rig.Clear()
	} else {
		os.Setenv(skewedVariable, skewed) //nolint:errcheck // the name is right
		code = rig.Main(m)
	}
	os.RemoveAll(skewed)
	os.Exit(code)
}

// prepare builds binaries, servers and the runner's Python environment.
func prepare() (bin string, err error) {
	if bin, err = rig.Binaries(); err != nil {
		return "", err
	}
	for _, name := range []string{"nats-server", "minio", "mc"} {
		if _, err := rig.ServerPath(name); err != nil {
			return "", err
		}
	}
	for _, dir := range []string{bin, os.Getenv("PDFMILL_BEFORE")} {
		if dir == "" {
			continue // there is no earlier version
		}
		out, err := exec.CommandContext(context.Background(), filepath.Join(dir, "pdfmill"), "engines", "install", "text", "--yes").CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("install the text engine of %s: %w\n%s", dir, err, out)
		}
	}
	return bin, nil
}
