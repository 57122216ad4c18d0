// Package rig drives pdfmill as a stranger would: the built binary, and stock clients of NATS and S3.
package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var built struct {
	once sync.Once
	dir  string
	err  error
}

// Binary returns the path of the pdfmill binary: below $PDFMILL_BIN when that is set, else built once for this run.
func Binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir = os.Getenv("PDFMILL_BIN"); built.dir != "" {
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "pdfmill-bin-"); built.err != nil {
			return
		}
		cmd := exec.CommandContext(context.Background(), "go", "build", "-o", filepath.Join(built.dir, "pdfmill"), "github.com/pdfmill/pdfmill/cmd/pdfmill")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build pdfmill: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "pdfmill")
}

// Output is what a command left behind.
type Output struct {
	Stdout, Stderr string
	Code           int
}

// Run runs pdfmill to its end and fails the test when it takes longer than limit.
func Run(t testing.TB, limit time.Duration, stdin []byte, args ...string) Output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(t), args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("pdfmill %q: %v after at most %s\n%s", args, err, limit, stderr.String())
	}
	return Output{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
}
