package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed pool/pool.py
var poolScript []byte

// pool is the baseline: the same engine in a bare pool of processes, which validates nothing and keeps nothing.
type pool struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
	errs  strings.Builder
}

// round is what a pool did with the files it was given.
type round struct {
	Seconds float64 `json:"seconds"`
	Pages   int     `json:"pages"`
	Failed  int     `json:"failed"` // documents
	cpu     float64 // seconds that its processes worked
}

func (r *rig) poolScript() (string, error) {
	path := filepath.Join(r.dir, "pool.py")
	return path, os.WriteFile(path, poolScript, 0o600)
}

// startPool returns when every process has its engine loaded.
func (r *rig) startPool(ctx context.Context, processes int) (*pool, error) {
	script, err := r.poolScript()
	if err != nil {
		return nil, err
	}
	p := &pool{cmd: exec.CommandContext(ctx, r.python, script, "--processes", strconv.Itoa(processes))}
	p.cmd.Stderr = &p.errs
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.lines = bufio.NewScanner(out)
	if !p.lines.Scan() { // "ready"
		return nil, p.broken()
	}
	return p, nil
}

func (p *pool) broken() error {
	_ = p.in.Close()
	err := p.cmd.Wait()
	if err == nil {
		err = errors.New("it said nothing more")
	}
	return fmt.Errorf("bare pool: %w\n%s", err, p.errs.String())
}

// convert has all files converted.
func (p *pool) convert(files []string) (r round, err error) {
	question, err := json.Marshal(files)
	if err != nil {
		return r, err
	}
	before, err := worked(p.cmd.Process.Pid)
	if err != nil {
		return r, err
	}
	if _, err := p.in.Write(append(question, '\n')); err != nil || !p.lines.Scan() {
		return r, p.broken()
	}
	after, err := worked(p.cmd.Process.Pid)
	r.cpu = sum(after) - sum(before)
	return r, errors.Join(err, json.Unmarshal(p.lines.Bytes(), &r))
}

func sum(parts map[string]float64) (all float64) {
	for _, each := range parts {
		all += each
	}
	return all
}

func (p *pool) close() error {
	_ = p.in.Close() // which ends it
	return p.cmd.Wait()
}
