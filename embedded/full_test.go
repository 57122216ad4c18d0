package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/embedded"
)

// In this folder the test binary runs a server that may not write, instead of running tests.
const fullDir = "EMBEDDED_TEST_FULL_DIR"

// beFull publishes until a write fails, as on a full disk, and returns what the server says then.
func beFull(ctx context.Context, dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	n, err := embedded.StartNATS(ctx, natsConfig(filepath.Join(dir, "nats"), embedded.Synced))
	if err != nil {
		return err
	}
	j, err := connect(n.URL())
	if err != nil {
		return err
	}
	if _, err := j.CreateOrUpdateStream(ctx, events); err != nil {
		return err
	}
	const most = 64 << 10
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: most, Max: most}); err != nil {
		return err
	}
	for {
		if _, err := j.PublishAsync("events.x", make([]byte, 1<<10)); err != nil {
			return err
		}
		select {
		case err := <-n.Broken():
			return fmt.Errorf("broken: %w", err)
		case <-j.PublishAsyncComplete():
		}
	}
}

// TestAServerThatCanNotWriteSaysSo: it would leave its clients without an answer, and not recover when there is room again.
func TestAServerThatCanNotWriteSaysSo(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), fullDir+"="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || !strings.Contains(string(out), "broken: ") || !strings.Contains(string(out), syscall.EFBIG.Error()) {
		t.Errorf("%v\n%s", err, out)
	}
}
