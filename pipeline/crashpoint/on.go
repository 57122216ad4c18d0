//go:build crashpoints

package crashpoint

import (
	"fmt"
	"os"
	"syscall"
)

// Reach says that a stage has come to a step. The process dies there by SIGKILL, as in a power cut, when Env names the place.
func Reach(stage, step string) {
	if here := stage + "/" + step; os.Getenv(Env) == here {
		fmt.Fprintln(os.Stderr, "crashpoint "+here)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // it can't fail on oneself
		select {}
	}
}
