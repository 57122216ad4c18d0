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

// Isolation says what the kernel gives to confined workers, and what it does not; "" is nothing.
func Isolation() (has, lacks string) {
	return "", "workers keep the network, and those of one user can read each other's documents: only Linux can keep them apart"
}
