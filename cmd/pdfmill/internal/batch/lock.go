package batch

import (
	"fmt"
	"os"

	"github.com/gofrs/flock"
)

// Lock keeps a second run out of an output directory until unlock is called: both would write the same report. It leaves nothing behind.
func Lock(dir string) (unlock func(), err error) {
	lock := flock.New(dir, flock.SetFlag(os.O_RDONLY))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock output directory %s: %w", dir, err)
	}
	if !ok {
		return nil, fmt.Errorf("another pdfmill convert is writing to %s (wait for it, or choose another directory with -o)", dir)
	}
	return func() { _ = lock.Unlock() }, nil // the lock goes with the process at the latest
}
