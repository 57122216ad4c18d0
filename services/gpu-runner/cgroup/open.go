package cgroup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Auto in place of a folder stands for the group that systemd has delegated to this process.
const Auto = "auto"

// ErrNotDelegated says that nobody has given this process a folder to make groups in.
var ErrNotDelegated = errors.New("this process was given none to make them in (systemd: Delegate=)")

// leaf is the group that a process goes into to make others beside it: of version 2, groups with limits are below groups without processes.
const leaf = "service"

// root is where systemd and everybody else mount control groups of version 2.
const root = "/sys/fs/cgroup"

// Open prepares a folder for groups: the one named, which must be the caller's to use, or with Auto the one that was delegated. In version 2 what runs in that folder
// itself is moved into a group "service" in it.
func Open(ctx context.Context, place string) (*Tree, error) {
	if place == Auto {
		own, err := ownGroup("/proc/self/cgroup", "")
		if err != nil {
			return nil, err
		}
		if place, err = delegated(filepath.Join(root, own)); err != nil {
			return nil, err
		}
	}
	t := &Tree{dir: filepath.Clean(place)}
	switch {
	case exists(filepath.Join(t.dir, "cgroup.controllers")):
		if err := t.prepare(); err != nil {
			return nil, fmt.Errorf("control groups in %s: %w", t.dir, err)
		}
	case exists(filepath.Join(t.dir, "memory.limit_in_bytes")):
		own, err := ownGroup("/proc/self/cgroup", "memory")
		if err != nil {
			return nil, err
		}
		mount, err := mountOf(t.dir)
		if err != nil {
			return nil, err
		}
		t.home = filepath.Join(mount, own)
	default:
		return nil, fmt.Errorf("%s is no control group with a memory controller", t.dir)
	}
	if err := t.try(ctx); err != nil {
		return nil, fmt.Errorf("control groups in %s: %w", t.dir, err)
	}
	return t, nil
}

// delegated finds the folder that systemd has marked as delegated: our own group, or the one above it when we are in its leaf.
func delegated(own string) (string, error) {
	places := []string{own}
	if filepath.Base(own) == leaf {
		places = append(places, filepath.Dir(own))
	}
	for _, place := range places {
		for _, mark := range []string{"user.delegate", "trusted.delegate"} {
			value := make([]byte, 8)
			if n, err := unix.Getxattr(place, mark, value); err == nil && bytes.Equal(value[:n], []byte("1")) {
				return place, nil
			}
		}
	}
	return "", ErrNotDelegated
}

// prepare has the folder's controllers work in the groups below it.
func (t *Tree) prepare() error {
	available, err := read(filepath.Join(t.dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(available), "memory") {
		return fmt.Errorf("the memory controller isn't delegated, only %q", available)
	}
	wanted := "+memory"
	if slices.Contains(strings.Fields(available), "pids") {
		wanted += " +pids"
	}
	control := filepath.Join(t.dir, "cgroup.subtree_control")
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // a child may be born in the folder meanwhile
		if err = write(control, wanted); !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
		if err := os.Mkdir(filepath.Join(t.dir, leaf), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		for _, pid := range members(t.dir) {
			if err := write(filepath.Join(t.dir, leaf, "cgroup.procs"), strconv.Itoa(pid)); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("move process %d into %s: %w", pid, leaf, err)
			}
		}
	}
}

// ownGroup is the path of this process's group in the hierarchy of a controller of version 1; "" names version 2.
func ownGroup(membership, controller string) (string, error) {
	raw, err := os.ReadFile(membership)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNotDelegated // the kernel knows no control groups
	}
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(raw)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && slices.Contains(strings.Split(parts[1], ","), controller) {
			return parts[2], nil
		}
	}
	return "", ErrNotDelegated
}

// mountOf is the topmost folder of the file system that a folder is in.
func mountOf(dir string) (string, error) {
	var here, above unix.Stat_t
	if err := unix.Stat(dir, &here); err != nil {
		return "", err
	}
	for {
		if err := unix.Stat(filepath.Dir(dir), &above); err != nil {
			return "", err
		}
		if above.Dev != here.Dev || dir == "/" {
			return dir, nil
		}
		dir = filepath.Dir(dir)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// onThread calls f on a thread that nothing else uses, and that ends with the goroutine.
func onThread(f func() error) error {
	runtime.LockOSThread()
	return f()
}
