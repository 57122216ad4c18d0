package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/pdfmill/pdfmill/pipeline/document"
)

const (
	// lookEvery is how often files that are not stable yet are looked at.
	lookEvery = 50 * time.Millisecond
	// eventBuffer is how many events wait while a pass runs; the kernel holds more.
	eventBuffer = 4096
)

// folder finds files in a local folder that is a bucket. One goroutine does it all:
//
//	event, or a pass over the folder ─▶ waiting ─▶ nobody writes, nothing changes ─▶ stat in the store ─▶ hint
//
// Its passes read the folder instead of listing the bucket: for 100,000 files that takes 0.3 s, the gateway's listing 12 s.
type folder struct {
	*Service
	bucket  string
	dir     string // without symbolic links in it
	log     *slog.Logger
	waiting map[string]*candidate // by key; how many, over all folders, is in Service.waiting
	watcher *fsnotify.Watcher     // nil when the system gives none: then passes must do
	blind   bool                  // it was told that some folder is not watched
}

func (s *Service) newFolder(bucket, dir string) *folder {
	return &folder{Service: s, bucket: bucket, dir: dir, log: s.log.With("bucket", bucket), waiting: map[string]*candidate{}}
}

// run watches until ctx ends.
func (f *folder) run(ctx context.Context) error {
	dir, err := filepath.EvalSymlinks(f.dir)
	if err != nil {
		return fmt.Errorf("folder of inbox %s: %w (the gateway makes it when it starts)", f.bucket, err)
	}
	f.dir = dir
	var events chan fsnotify.Event
	var errs chan error
	if f.watcher, err = fsnotify.NewBufferedWatcher(eventBuffer); err != nil {
		f.log.Warn("folder is not watched: files are found at intervals only", "err", err, "interval", f.config.ScanInterval)
	} else {
		defer f.watcher.Close()
		events, errs = f.watcher.Events, f.watcher.Errors
	}
	pass := time.NewTimer(0)
	defer pass.Stop()
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	for armed, counted := true, 0; ; {
		f.Service.waiting.Add(int64(len(f.waiting) - counted))
		counted = len(f.waiting)
		if !armed && counted > 0 {
			look.Reset(lookEvery)
			armed = true
		}
		select {
		case <-ctx.Done():
			return nil
		case e, open := <-events:
			if !open {
				events = nil
				continue
			}
			f.see(e)
		case err, open := <-errs:
			if !open {
				errs = nil
				continue
			}
			f.log.Warn("events of the folder were lost, looking through it", "err", err)
			pass.Reset(0)
		case <-pass.C:
			started := time.Now()
			if err := f.walk(f.dir); err != nil {
				f.log.Warn("could not look through the folder, will try again", "err", err)
			} else {
				f.scans.Add(1)
			}
			pass.Reset(nextPass(f.config.ScanInterval, time.Since(started)))
		case <-look.C:
			armed = false
			f.look(ctx)
		}
	}
}

// see notes what an event is about.
func (f *folder) see(e fsnotify.Event) {
	if e.Op&(fsnotify.Create|fsnotify.Write|fsnotify.Chmod) == 0 {
		return // what is gone is found to be gone
	}
	key, ok := f.key(e.Name)
	if !ok {
		return
	}
	about, err := os.Lstat(e.Name)
	if err != nil {
		return
	}
	if !about.IsDir() {
		f.offer(key, about)
		return
	}
	if e.Has(fsnotify.Create) && unwanted(key) == "" {
		if err := f.walk(e.Name); err != nil { // what was put into it before it was watched
			f.log.Warn("could not look through a new folder, the next pass will", "folder", key, "err", err)
		}
	}
}

// walk watches a folder and those below, and offers their files. Links are not followed.
func (f *folder) walk(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != f.dir {
			return nil // deleted meanwhile
		}
		if err != nil {
			return err
		}
		key, ok := f.key(path)
		if !ok {
			f.watch(path)
			return nil
		}
		if d.IsDir() {
			if reason := unwanted(key + "/x"); reason != "" {
				f.skips.skip(f.bucket, key, reason)
				return fs.SkipDir
			}
			f.watch(path)
			return nil
		}
		about, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // deleted meanwhile
		}
		f.offer(key, about)
		return nil
	})
}

// watch has the system tell of changes in a folder. It is no harm to watch one twice.
func (f *folder) watch(path string) {
	if f.watcher == nil {
		return
	}
	if err := f.watcher.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) && !f.blind {
		f.blind = true
		f.log.Warn("some folder is not watched: its files are found at intervals only (raise fs.inotify.max_user_watches)", "err", err)
	}
}

// key is the object key of a path; ok is false for the folder itself.
func (f *folder) key(path string) (key string, ok bool) {
	key, inside := strings.CutPrefix(path, f.dir+string(filepath.Separator))
	return filepath.ToSlash(key), inside && key != ""
}

// offer lets a file wait until it is stable, when it may be one to take.
func (f *folder) offer(key string, about fs.FileInfo) {
	if _, already := f.waiting[key]; already {
		return
	}
	if reason := f.refuse(key, about); reason != "" {
		f.skips.skip(f.bucket, key, reason)
		return
	}
	if f.known.about(f.rough(key, about), false, f.now()) != settled {
		f.waiting[key] = &candidate{}
	}
}

// refuse says why a file is not taken, or "".
func (f *folder) refuse(key string, about fs.FileInfo) string {
	switch {
	case about.Mode()&fs.ModeSymlink != 0:
		return reasonLink
	case !about.Mode().IsRegular():
		return reasonSpecial
	}
	return unwanted(key)
}

// rough is the object as far as the folder knows it: without its ETag.
func (f *folder) rough(key string, about fs.FileInfo) document.Source {
	return document.Source{Bucket: f.bucket, Key: key, Size: about.Size(), ModTime: about.ModTime().UTC().Truncate(time.Second)}
}
