package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// process is a running process.
type process struct {
	pid, parent int
	args        []string
	resident    float64 // MB (10⁶ bytes); of what it shares with others, as the file of its program, only its share
}

func (p process) isWorker() bool { return slices.Contains(p.args, "pdfmill_runner") }

// family is a process and all that descend from it.
func family(root int) ([]process, error) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	children := map[int][]process{}
	var found []process
	for _, folder := range folders {
		p, err := readProcess(folder)
		if err != nil {
			continue // it has ended meanwhile
		}
		if p.pid == root {
			found = append(found, p)
		}
		children[p.parent] = append(children[p.parent], p)
	}
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i].pid]...)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("process %d is not there", root)
	}
	return found, nil
}

func readProcess(folder string) (p process, err error) {
	if p.pid, err = strconv.Atoi(filepath.Base(folder)); err != nil {
		return p, err
	}
	status := filepath.Join(folder, "status")
	if p.parent, err = strconv.Atoi(field(status, "PPid")); err != nil {
		return p, err
	}
	var kib float64
	_, _ = fmt.Sscanf(field(filepath.Join(folder, "smaps_rollup"), "Pss"), "%f", &kib) // a dying process has none
	p.resident = kib * 1024 / 1e6
	line, err := os.ReadFile(filepath.Join(folder, "cmdline"))
	for arg := range bytes.SplitSeq(line, []byte{0}) {
		p.args = append(p.args, string(arg))
	}
	return p, err
}

// memory is what the daemon keeps resident, its workers not counted, and what it is made of. Memory that its processes share counts once.
func (d *daemon) memory() (mb float64, parts string, err error) {
	all, err := family(d.cmd.Process.Pid)
	var each []string
	for _, p := range all {
		if p.isWorker() {
			continue
		}
		mb += p.resident
		each = append(each, fmt.Sprintf("%s %.0f MB", p.role(), p.resident))
	}
	return mb, strings.Join(each, ", "), err
}

// worked is the processor time, in seconds by what a process is, that a process and all that descend from it have taken so far.
func worked(root int) (map[string]float64, error) {
	all, err := family(root)
	seconds := map[string]float64{}
	for _, p := range all {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
		if err != nil {
			continue // it has ended meanwhile
		}
		_, after, _ := strings.Cut(string(stat), ") ")
		for i, field := range strings.Fields(after) {
			if i == 11 || i == 12 { // utime, stime
				ticks, _ := strconv.ParseFloat(field, 64)
				seconds[p.role()] += ticks / 100 // USER_HZ, on every Linux that Go runs on
			}
		}
	}
	return seconds, err
}

// role is what a process is in a daemon's family.
func (p process) role() string {
	if p.isWorker() {
		return "workers"
	}
	return filepath.Base(p.args[0]) + " " + p.args[1]
}

// interpreter is the Python that the daemon's workers run on.
func (d *daemon) interpreter() (string, error) {
	all, err := family(d.cmd.Process.Pid)
	for _, p := range all {
		if p.isWorker() {
			return p.args[0], nil
		}
	}
	return "", errors.Join(errors.New("pdfmill up is ready and has no worker"), err)
}
