package devices

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// memoryFile is the file of NVIDIA's driver that CUDA needs and that isn't there until somebody has used CUDA: then a helper with the set-user-ID bit makes it.
const memoryFile = "/dev/nvidia-uvm"

// Ready reports why a process needs more privileges than it has to use CUDA; nil: it needs none.
func Ready() error { return ready(memoryFile) }

func ready(file string) error {
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("the driver's file is made by a helper with more privileges: %w", err)
	}
	return nil
}

// MakeReady has the helper make what is missing now, so that no worker needs it.
func MakeReady(ctx context.Context) error {
	return makeReady(ctx, memoryFile, "nvidia-modprobe", "-u", "-c", "0")
}

func makeReady(ctx context.Context, file, helper string, args ...string) error {
	err := ready(file)
	if err == nil {
		return nil
	}
	said, failed := exec.CommandContext(ctx, helper, args...).CombinedOutput()
	if err = ready(file); err != nil && failed != nil {
		return errors.Join(err, fmt.Errorf("%s: %w %s", helper, failed, strings.TrimSpace(string(said))))
	}
	return err
}
