// Package rig drives pdfmill as a stranger would: built binaries, stock servers, and stock clients of NATS and S3.
package rig

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/config"
)

var built struct {
	once sync.Once
	dir  string
	ours bool // made for this run
	err  error
}

// BinVariable names the environment variable that names the folder of pdfmill's binaries, when they are built already.
const BinVariable = "PDFMILL_BIN"

// Binary returns the path of a binary of pdfmill's ("pdfmill", "pdfmill-ingest" …): below $PDFMILL_BIN when that is set, else built once for this run.
func Binary(t testing.TB, name string) string {
	t.Helper()
	dir, err := Binaries()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// Binaries returns the folder of pdfmill's binaries.
func Binaries() (string, error) {
	built.once.Do(func() {
		if built.dir = os.Getenv(BinVariable); built.dir != "" {
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "pdfmill-bin-"); built.err != nil {
			return
		}
		built.ours = true
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
	return built.dir, built.err
}

// Main runs a package's tests, and removes the binaries that were built for them. It returns the exit status: every package that asks for a Binary has it in its TestMain.
func Main(m *testing.M) int {
	defer Clear()
	return m.Run()
}

// Clear removes the binaries that this run has built.
func Clear() {
	if built.ours {
		_ = os.RemoveAll(built.dir) // a temporary folder
	}
}

// Build compiles a Go program of one file with the modules of this one.
func Build(t testing.TB, binary, file string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, file).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", file, err, out)
	}
}

// servers are where the stock servers are. Those that go.mod names as tools Go builds once and keeps. MinIO and its client are under the AGPL: programs that
// stand beside ours, in no go.mod and linked to nothing.
var servers = map[string]func() (string, error){
	"nats-server": tool("nats-server"), "versitygw": tool("versitygw"),
	"minio": installed("github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c"),
	"mc":    installed("github.com/minio/mc", "v0.0.0-20250313080218-cf909e1063a9"),
}

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

// installed installs a program into the cache folder, unless that version is there. The first time takes minutes.
func installed(module, version string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		cache, err := Cache()
		if err != nil {
			return "", err
		}
		dir := filepath.Join(cache, "bin")
		program := filepath.Join(dir, path.Base(module))
		if about, err := buildinfo.ReadFile(program); err == nil && about.Main.Path == module && about.Main.Version == version {
			return program, nil
		}
		cmd := exec.CommandContext(context.Background(), "go", "install", module+"@"+version)
		cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("install %s: %w\n%s", module, err, out)
		}
		return program, nil
	})
}

// Cache is the folder of what can be made again: $PDFMILL_CACHE, else the user's.
func Cache() (string, error) { return config.CacheDir(os.Getenv("PDFMILL_CACHE")) }

// Server returns the path of a stock server, nats-server, versitygw or minio, or of MinIO's client mc.
func Server(t testing.TB, name string) string {
	t.Helper()
	path, err := ServerPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// ServerPath is Server outside of a test.
func ServerPath(name string) (string, error) { return servers[name]() }

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
