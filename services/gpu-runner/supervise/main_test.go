package supervise

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/fakechild"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

func TestMain(m *testing.M) {
	fakechild.Become()
	becomeDoomedParent()
	becomeServer()
	os.Exit(m.Run())
}

// patience bounds every wait in these tests; nothing is asserted about how long things take.
const patience = 30 * time.Second

func command(c fakechild.Config) Command {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return Command{Path: self, Env: append(Environment{
		Path: os.Getenv("PATH"), Threads: 1, More: map[string]string{"GORACE": "atexit_sleep_ms=0"}, // a child with the race detector would sleep at its end
	}.List(), c.Env())}
}

func config(c fakechild.Config) Config {
	return Config{Name: "w0", Command: command(c), Log: slog.New(slog.DiscardHandler)}
}

// request asks for pages 1-3 of a document with the given base name.
func request(t *testing.T, id, base string) Request {
	t.Helper()
	return Request{
		ID: id, Path: "/documents/" + base, Range: pages.Range{First: 1, Last: 3}, OutDir: t.TempDir(),
		Options: protocol.Options{Output: "markdown", Mode: protocol.ModeDefault}, Total: patience, Silence: patience,
	}
}

// gone reports whether a process has ended: reaped, or a zombie of somebody else's.
func gone(pid int) bool {
	stat, ok := statOf(pid)
	return !ok || stat.state == 'Z' || stat.state == 'X'
}

// pidsIn reads the pids that children wrote down.
func pidsIn(t *testing.T, file string) []int {
	t.Helper()
	raw, _ := os.ReadFile(file)
	var pids []int
	for _, word := range strings.Fields(string(raw)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

func allGone(t *testing.T, file string) {
	t.Helper()
	pipelinetest.Eventually(t, "every recorded process is gone", func() bool {
		for _, pid := range pidsIn(t, file) {
			if !gone(pid) {
				return false
			}
		}
		return true
	})
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func inDir(t *testing.T, name string) string { return filepath.Join(t.TempDir(), name) }

// lockAndEndThread makes the goroutine that calls it take its thread along when it ends.
func lockAndEndThread() { runtime.LockOSThread() }
