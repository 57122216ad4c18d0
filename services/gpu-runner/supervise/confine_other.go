//go:build !linux

package supervise

import (
	"log/slog"
	"os/exec"
	"sync"
)

var saidNetwork sync.Once

// confine can't take the network from a child here.
func confine(_ *exec.Cmd, log *slog.Logger) {
	saidNetwork.Do(func() { log.Warn("workers keep the network: only Linux can give them none of their own") })
}

// forgo has nothing to take.
func forgo() error { return nil }
