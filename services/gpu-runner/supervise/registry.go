package supervise

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Registry remembers, in a directory, which workers run, so that the next run of the service can end those that a previous one left
// behind. The kernel ends a worker itself when the service dies; what can be left are the processes that a worker had started.
type Registry struct {
	dir string
	log *slog.Logger
}

// NewRegistry uses dir, which it creates with mode 0700.
func NewRegistry(dir string, log *slog.Logger) (*Registry, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("worker registry: %w", err)
	}
	return &Registry{dir: dir, log: log}, nil
}

// record is one worker. Pid and start time name a process for good; the token, which is also in the worker's environment, proves that
// it is ours.
type record struct {
	PID        int    `json:"pid"` // also its process group
	Start      uint64 `json:"start"`
	Token      string `json:"token"`
	Owner      int    `json:"owner"`
	OwnerStart uint64 `json:"owner_start"`
}

const recordSuffix = ".worker.json"

func newToken() string { return rand.Text() }

func (r *Registry) path(token string) string { return filepath.Join(r.dir, token+recordSuffix) }

// remember records a worker that has just been started.
func (r *Registry) remember(pid int, token string) error {
	if r == nil {
		return nil
	}
	stat, ok := statOf(pid)
	if !ok {
		return nil // gone already; whoever waits for it will say so
	}
	self, _ := statOf(os.Getpid())
	raw, err := json.Marshal(record{PID: pid, Start: stat.ticks, Token: token, Owner: os.Getpid(), OwnerStart: self.ticks})
	if err != nil {
		return err
	}
	partial := r.path(token) + ".partial"
	if err := os.WriteFile(partial, raw, 0o600); err != nil {
		return fmt.Errorf("worker registry: %w", err)
	}
	if err := os.Rename(partial, r.path(token)); err != nil {
		return fmt.Errorf("worker registry: %w", err)
	}
	return nil
}

// forget drops the record of a worker whose whole process group is gone.
func (r *Registry) forget(token string) {
	if r == nil {
		return
	}
	if err := os.Remove(r.path(token)); err != nil && !errors.Is(err, os.ErrNotExist) {
		r.log.Warn("worker registry: a record stays behind", "error", err)
	}
}

// Sweep kills what workers of dead owners have left running, and returns how many processes that were. Workers of an owner that lives
// are not touched: two services may share a directory.
func (r *Registry) Sweep(ctx context.Context) (int, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return 0, fmt.Errorf("worker registry: %w", err)
	}
	ended := 0
	var faults []error
	for _, entry := range entries {
		path := filepath.Join(r.dir, entry.Name())
		switch {
		case strings.HasSuffix(entry.Name(), recordSuffix):
			n, err := r.sweepOne(ctx, path)
			ended += n
			faults = append(faults, err)
		case strings.HasSuffix(entry.Name(), ".partial"):
			faults = append(faults, r.dropOld(path))
		}
	}
	return ended, errors.Join(faults...)
}

func (r *Registry) sweepOne(ctx context.Context, path string) (int, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil // its owner has just dropped it
	}
	var left record
	if err == nil {
		err = json.Unmarshal(raw, &left)
	}
	if err != nil || left.PID < 2 || left.Token == "" {
		r.log.Warn("worker registry: a record can't be read and is dropped", "error", err)
		return 0, os.Remove(path)
	}
	if owner, ok := statOf(left.Owner); ok && owner.ticks == left.OwnerStart && owner.state != 'Z' {
		return 0, nil
	}
	ended, deadline := map[int]bool{}, time.Now().Add(5*time.Second)
	for {
		stale := left.stale()
		if len(stale) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return len(ended), fmt.Errorf("stale worker %d: processes %v survive SIGKILL", left.PID, stale)
		}
		for _, pid := range stale {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return len(ended), fmt.Errorf("stale worker %d: kill %d: %w", left.PID, pid, err)
			}
			ended[pid] = true
		}
		select {
		case <-ctx.Done():
			return len(ended), ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	if len(ended) > 0 {
		r.log.Warn("ended what a worker of a previous run had left", "worker_pid", left.PID, "processes", len(ended))
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return len(ended), err
	}
	return len(ended), nil
}

// stale lists the living processes of the worker's group that prove to be ours: the leader by pid, start time and token; the others by group
// and token, for a group outlives its leader and its number isn't given away while it has a member.
func (r record) stale() []int {
	var ours []int
	for _, pid := range members(r.PID) {
		stat, ok := statOf(pid)
		if !ok || (pid == r.PID && stat.ticks != r.Start) || !carries(pid, TokenVariable+"="+r.Token) {
			continue
		}
		ours = append(ours, pid)
	}
	return ours
}

// dropOld removes a half-written record that no living service can still be writing.
func (r *Registry) dropOld(path string) error {
	info, err := os.Stat(path)
	if err != nil || time.Since(info.ModTime()) < time.Minute {
		return nil //nolint:nilerr // it is gone already
	}
	return os.Remove(path)
}
