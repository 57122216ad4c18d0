package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// rig is what every benchmark works with.
type rig struct {
	settings
	dir    string // temporary, for everything that a run leaves behind
	python string // interpreter of the runner's environment
	out    io.Writer
	seq    int
}

// newRig checks the binary and warms the Python environment and the cache of compiled code: what is only slow the first time is not measured.
func newRig(ctx context.Context, s settings, out io.Writer) (*rig, error) {
	r := &rig{settings: s, out: out}
	if _, err := os.Stat(r.binary()); err != nil {
		return nil, fmt.Errorf("%w (make build makes it; --bin names its folder)", err)
	}
	var err error
	if r.dir, err = os.MkdirTemp("", "pdfmill-bench-"); err != nil {
		return nil, err
	}
	d, err := r.up(ctx)
	if err != nil {
		r.close()
		return nil, err
	}
	r.python, err = d.interpreter()
	if err = errors.Join(err, d.stop()); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *rig) close() { _ = os.RemoveAll(r.dir) } // what is left is in the system's temporary folder

func (r *rig) binary() string { return filepath.Join(r.bin, "pdfmill") }

// fresh is the name of a folder that does not exist yet.
func (r *rig) fresh(name string) string {
	r.seq++
	return filepath.Join(r.dir, fmt.Sprintf("%s-%d", name, r.seq))
}

// times is n, or few in a short run.
func (r *rig) times(n, few int) int {
	if r.short {
		return few
	}
	return n
}

// timed runs a command to its end and returns the seconds from start to exit.
func (r *rig) timed(ctx context.Context, command string, args ...string) (float64, error) {
	cmd := exec.CommandContext(ctx, command, args...)
	started := time.Now()
	out, err := cmd.CombinedOutput()
	seconds := time.Since(started).Seconds()
	if err != nil {
		return 0, fmt.Errorf("%s %q: %w\n%s", filepath.Base(command), args, err, out)
	}
	return seconds, nil
}
