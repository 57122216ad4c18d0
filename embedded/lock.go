package embedded

import (
	"fmt"
	"path/filepath"

	"github.com/gofrs/flock"
)

// lock keeps a second pdfmill away from a state folder.
type lock struct{ file *flock.Flock }

// take makes the folder, when missing, and locks it.
func take(dir string, sync fsync) (*lock, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("state folder %q is not an absolute path", dir)
	}
	if err := sync.makeDir(dir); err != nil {
		return nil, fmt.Errorf("make state folder %s: %w", dir, err)
	}
	file := flock.New(filepath.Join(dir, ".lock"))
	ok, err := file.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock state folder %s: %w", dir, err)
	}
	if !ok {
		return nil, fmt.Errorf("the folder %s is in use by another pdfmill (stop it, or choose another folder with --data)", dir)
	}
	return &lock{file}, nil
}

// release lets others in; the lock goes with the process at the latest.
func (l *lock) release() { _ = l.file.Unlock() }
