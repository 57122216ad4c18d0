package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// Durability is what an acknowledged write survives.
type Durability string

// Synced survives a power cut: NATS syncs each message, S3 syncs the file with its attributes and every folder that names it, before the answer. Deletes of
// objects are synced too; parts of an unfinished upload are not, its end fails when they are lost.
// Relaxed survives the death of the process, but a power cut may take what was acknowledged in the last two minutes (NATS) or was not yet written out by the
// system, usually half a minute (S3).
const (
	Synced  Durability = "synced"
	Relaxed Durability = "relaxed"
)

// synced says whether to sync; nothing means Synced.
func (d Durability) synced() (bool, error) {
	switch d {
	case Synced, "":
		return true, nil
	case Relaxed:
		return false, nil
	}
	return false, fmt.Errorf("durability %q is neither %q nor %q", string(d), Synced, Relaxed)
}

// fsync makes a file's content and attributes, or a folder's names, survive a power cut. It is (*os.File).Sync but in tests.
type fsync func(*os.File) error

func (sync fsync) path(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open to sync: %w", err)
	}
	if err := errors.Join(sync(file), file.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// up syncs path, a file or folder, and the folders above it up to top. All of them: whether one is new can't be known, another writer may have made it and not
// synced it yet. One that is gone was deleted meanwhile, and its name's end is in its parent. They are synced at the same time: each waits for the disk, and
// disks take several waits as one.
func (sync fsync) up(path, top string) error {
	var group errgroup.Group
	for ; len(path) >= len(top); path = filepath.Dir(path) {
		one := path
		group.Go(func() error {
			if err := sync.path(one); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		})
		if path == filepath.Dir(path) {
			break
		}
	}
	return group.Wait()
}

// makeDir makes a folder and its parents, private to the owner, and syncs the names of the new ones.
func (sync fsync) makeDir(dir string) error {
	old := filepath.Dir(dir)
	for {
		if _, err := os.Stat(old); err == nil || old == filepath.Dir(old) {
			break
		}
		old = filepath.Dir(old)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return sync.up(filepath.Dir(dir), old)
}
