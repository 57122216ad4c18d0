// Package cgroup gives child processes control groups of their own: a bound on memory that the kernel keeps, an end that no descendant escapes, and a counter that
// tells who was killed for memory. A group is a folder of the kernel's; groups are made below one that was given to this process, and nowhere else.
//
// Both versions are spoken. Version 2 is what systemd delegates. Version 1 bounds memory alone, in the folder of its memory controller.
package cgroup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// prefix begins the names of all groups made here.
	prefix = "pdfmill-"
	// tasks is how many processes and threads a group may have: more than any engine wants, fewer than a machine has.
	tasks = 2048
	// patience bounds the wait for killed processes to be gone.
	patience = 5 * time.Second
)

// Tree is a folder below which groups are made. A nil Tree makes none.
type Tree struct {
	dir  string
	home string // version 1: the group that this process is in; "": version 2
}

// Group is one control group. A nil Group stands for none: what is started in it is only started.
type Group struct {
	tree   *Tree
	dir    string
	bound  int64
	folder *os.File // locked for as long as this process lives and the group is wanted: Sweep goes by that
}

// New makes a group whose processes may use so many bytes of memory together; 0: as many as the groups above it may.
func (t *Tree) New(memory int64) (*Group, error) {
	if t == nil {
		return nil, nil //nolint:nilnil // a nil Group is one
	}
	g := &Group{tree: t, dir: filepath.Join(t.dir, prefix+strings.ToLower(rand.Text())), bound: memory}
	if err := t.alone(g.make); err != nil {
		return nil, fmt.Errorf("make a control group: %w", err)
	}
	return g, nil
}

func (g *Group) make() (err error) {
	if err := os.Mkdir(g.dir, 0o700); err != nil {
		return err
	}
	if g.folder, err = hold(g.dir, unix.LOCK_SH); err == nil {
		err = g.limit()
	}
	if err != nil {
		err = errors.Join(err, g.Remove())
	}
	return err
}

// alone does something while nobody else makes groups here or sweeps.
func (t *Tree) alone(do func() error) error {
	folder, err := hold(t.dir, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer folder.Close()
	return do()
}

// hold opens a folder with a lock on it, which goes with the descriptor or with the process.
func hold(dir string, lock int) (*os.File, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(folder.Fd()), lock); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return folder, nil
}

// limit writes the group's bounds. What the kernel may be built without is written only where it is.
func (g *Group) limit() error {
	bound := strconv.FormatInt(g.bound, 10)
	var needed, more [][2]string
	switch {
	case g.tree.home != "" && g.bound > 0:
		needed, more = [][2]string{{"memory.limit_in_bytes", bound}}, [][2]string{{"memory.memsw.limit_in_bytes", bound}}
	case g.tree.home != "":
	default:
		more = [][2]string{{"pids.max", strconv.Itoa(tasks)}, {"memory.oom.group", "1"}}
		if g.bound > 0 {
			needed, more = [][2]string{{"memory.max", bound}}, append(more, [2]string{"memory.swap.max", "0"})
		}
	}
	for _, l := range needed {
		if err := write(filepath.Join(g.dir, l[0]), l[1]); err != nil {
			return err
		}
	}
	for _, l := range more {
		if err := write(filepath.Join(g.dir, l[0]), l[1]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// OutOfMemory reports whether the kernel has killed a process of the group for memory, and the bound that it had reached; 0: it was not the group that had too
// little, but one above it, or the machine.
func (g *Group) OutOfMemory() (killed bool, bound int64) {
	if g == nil {
		return false, 0
	}
	counters := "memory.events"
	var reached bool
	if g.tree.home != "" { // its counters of failures stay at 0 on newer kernels
		counters = "memory.oom_control"
		peak, _ := read(filepath.Join(g.dir, "memory.max_usage_in_bytes"))
		most, _ := strconv.ParseInt(peak, 10, 64)
		reached = most >= g.bound-g.bound/16
	} else {
		reached = entry(filepath.Join(g.dir, counters), "oom") > 0
	}
	if reached {
		bound = g.bound
	}
	return entry(filepath.Join(g.dir, counters), "oom_kill") > 0, bound
}

// Remove kills whatever still runs in the group, and removes it.
func (g *Group) Remove() error {
	if g == nil {
		return nil
	}
	if g.folder != nil {
		defer g.folder.Close()
	}
	return remove(g.dir)
}

func remove(dir string) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		err := os.Remove(dir)
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist):
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("remove a control group: %w; in it are %v", err, members(dir))
		}
		if write(filepath.Join(dir, "cgroup.kill"), "1") == nil { // version 2, Linux 5.14
			continue
		}
		for _, pid := range members(dir) {
			_ = unix.Kill(pid, unix.SIGKILL) // gone is as good
		}
	}
}

// Sweep removes the groups of processes that live no more, with everything that runs in them, and returns how many there were.
func (t *Tree) Sweep() (removed int, err error) {
	if t == nil {
		return 0, nil
	}
	err = t.alone(func() error {
		entries, err := os.ReadDir(t.dir)
		faults := []error{err}
		for _, e := range entries {
			if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
				continue
			}
			dir := filepath.Join(t.dir, e.Name())
			folder, err := hold(dir, unix.LOCK_EX|unix.LOCK_NB)
			if err != nil { // somebody has it, or has just removed it
				continue
			}
			if err = errors.Join(remove(dir), folder.Close()); err == nil {
				removed++
			}
			faults = append(faults, err)
		}
		return errors.Join(faults...)
	})
	if err != nil {
		err = fmt.Errorf("remove old control groups: %w", err)
	}
	return removed, err
}

// try sees whether a process can be started in a group here.
func (t *Tree) try(ctx context.Context) error {
	program, err := exec.LookPath("true")
	if err != nil {
		return err
	}
	g, err := t.New(64 << 20)
	if err != nil {
		return err
	}
	done := make(chan error)
	go func() {
		done <- onThread(func() error {
			cmd := exec.CommandContext(ctx, program)
			if err := g.Start(cmd); err != nil {
				return fmt.Errorf("start a process in a control group: %w", err)
			}
			return cmd.Wait()
		})
	}()
	return errors.Join(<-done, g.Remove())
}

// write never makes a file: the kernel's are there, or they are not.
func write(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func read(path string) (string, error) {
	raw, err := os.ReadFile(path)
	return strings.TrimSpace(string(raw)), err
}

// entry is the number in a file's line "name number"; 0: there is none.
func entry(path, name string) (n uint64) {
	raw, _ := os.ReadFile(path)
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, _ = strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		}
	}
	return n
}

func members(dir string) (pids []int) {
	text, _ := read(filepath.Join(dir, "cgroup.procs"))
	for _, word := range strings.Fields(text) {
		if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}
