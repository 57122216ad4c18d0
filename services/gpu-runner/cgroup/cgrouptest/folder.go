// Package cgrouptest finds real control groups for tests. Only tests import it.
package cgrouptest

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Folder makes a control group for a test to make groups in; version is 1 or 2. It takes root, and a memory controller; where they are not there the test is skipped, and
// says why.
func Folder(t *testing.T) (dir string, version int) {
	t.Helper()
	parent, version, err := place()
	if err == nil {
		dir = filepath.Join(parent, "test-"+strings.ToLower(rand.Text()))
		err = os.Mkdir(dir, 0o700)
	}
	if err != nil {
		t.Skipf("control groups can't be made here: %v", err)
	}
	t.Cleanup(func() {
		for _, name := range []string{"service", ""} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				left, _ := filepath.Glob(filepath.Join(dir, "*", "cgroup.procs"))
				t.Errorf("the test's control group stays behind: %v; in it are %v", err, left)
			}
		}
	})
	return dir, version
}

// place is where this process may make groups: of version 1 below its own, so that whatever bounds it bounds them too; of version 2 below the topmost, the only one
// that may hold processes and groups with limits.
func place() (parent string, version int, err error) {
	const root = "/sys/fs/cgroup"
	available, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err == nil && strings.Contains(string(available), "memory") {
		return root, 2, os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+memory +pids"), 0)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", 0, err
	}
	for line := range strings.Lines(string(own)) {
		if _, path, found := strings.Cut(strings.TrimSpace(line), ":memory:"); found {
			return filepath.Join(root, "memory", path), 1, nil
		}
	}
	return "", 0, errors.New("no memory controller in " + root)
}
