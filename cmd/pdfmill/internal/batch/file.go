package batch

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// writeFile writes a file whole or not at all, with the permissions that the user's umask gives.
func writeFile(path string, data []byte) error {
	dir, base := filepath.Split(path)
	temporary := filepath.Join(dir, fmt.Sprintf(".%.40s.%s.tmp", base, rand.Text()[:8]))
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return unwritten(path, err)
	}
	_, err = file.Write(data)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary) // best effort: the first error matters
		return unwritten(path, err)
	}
	return nil
}

// unwritten says that a file could not be written, and what to do about it.
func unwritten(path string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("write %s: %w (make room there; the same command again goes on)", path, Cause(err))
	}
	return fmt.Errorf("write %s: %w", path, Cause(err))
}

// round keeps milliseconds.
func round(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }

// unique is a short text that no other call returns.
func unique() string { return strings.ToLower(rand.Text()[:12]) }
