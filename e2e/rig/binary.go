// Package rig drives pdfmill as a stranger would: built binaries, stock servers, and stock clients of NATS and S3.
package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var built struct {
	once sync.Once
	dir  string
	err  error
}

// Binary returns the path of a binary of pdfmill's ("pdfmill", "pdfmill-ingest" …): below $PDFMILL_BIN when that is set, else built once for this run.
func Binary(t testing.TB, name string) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir = os.Getenv("PDFMILL_BIN"); built.dir != "" {
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "pdfmill-bin-"); built.err != nil {
			return
		}
		for name, folder := range map[string]string{
			"pdfmill": "cmd/pdfmill", "pdfmill-ingest": "services/ingest/cmd/ingest", "pdfmill-validator": "services/validator/cmd/validator",
			"pdfmill-gpu-runner": "services/gpu-runner/cmd/gpu-runner", "pdfmill-publisher": "services/publisher/cmd/publisher",
		} {
			cmd := exec.CommandContext(context.Background(), "go", "build", "-o", filepath.Join(built.dir, name), "github.com/pdfmill/pdfmill/"+folder)
			if out, err := cmd.CombinedOutput(); err != nil {
				built.err = fmt.Errorf("build %s: %w\n%s", name, err, out)
				return
			}
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, name)
}

// Build compiles a Go program of one file with the modules of this one.
func Build(t testing.TB, binary, file string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, file).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", file, err, out)
	}
}

// servers are where the stock servers are that go.mod names as tools; Go builds each once and keeps it.
var servers = map[string]func() (string, error){"nats-server": tool("nats-server"), "versitygw": tool("versitygw")}

func tool(name string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		cmd := exec.CommandContext(context.Background(), "go", "tool", "-n", name)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", name, err, stderr.String())
		}
		return strings.TrimSpace(string(out)), nil
	})
}

// Server returns the path of a stock server, nats-server or versitygw.
func Server(t testing.TB, name string) string {
	t.Helper()
	path, err := servers[name]()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Output is what a command left behind.
type Output struct {
	Stdout, Stderr string
	Code           int
}

// Command is one call of pdfmill.
type Command struct {
	Args  []string
	Dir   string   // working directory; default: the test's
	Env   []string // on top of the test's
	Stdin []byte
	Limit time.Duration // default a minute; the test fails when it takes longer
}

// Run runs the command to its end.
func (c Command) Run(t testing.TB) Output {
	t.Helper()
	if c.Limit == 0 {
		c.Limit = time.Minute
	}
	path := Binary(t, "pdfmill") // which may have to be built first
	ctx, cancel := context.WithTimeout(t.Context(), c.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, c.Args...)
	cmd.Dir, cmd.Env, cmd.Stdin = c.Dir, append(os.Environ(), c.Env...), bytes.NewReader(c.Stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("pdfmill %q: %v after at most %s\n%s", c.Args, err, c.Limit, stderr.String())
	}
	return Output{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
}

// Run runs pdfmill with arguments to its end.
func Run(t testing.TB, args ...string) Output {
	t.Helper()
	return Command{Args: args}.Run(t)
}
