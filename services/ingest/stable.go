package ingest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

const (
	// quiet is how long a file must not change before it is taken.
	quiet = 200 * time.Millisecond
	// quietUnasked is that time where the system can't tell whether somebody has the file open for writing.
	quietUnasked = 2 * time.Second
	// longestLook is the longest pause between two looks at a file that somebody has open.
	longestLook = 2 * time.Second
	// statsAtOnce is how many stable files are looked up in the store at the same time.
	statsAtOnce = 8
)

// candidate is a file that is not stable yet.
type candidate struct {
	mark  mark
	since time.Time     // it looks like mark
	next  time.Time     // look, not before
	wait  time.Duration // after the last look
}

// mark is what a change to a file changes.
type mark struct {
	size           int64
	modTime, ctime int64 // Unix nanoseconds
	inode          uint64
}

// again puts the next look off, a little longer every time.
func (c *candidate) again(now time.Time) {
	c.wait = min(max(2*c.wait, quiet), longestLook)
	c.next = now.Add(c.wait)
}

// look goes through the waiting files and drops in those that are stable.
func (f *folder) look(ctx context.Context) {
	var stable []string
	for key, c := range f.waiting {
		if now := time.Now(); !now.Before(c.next) && f.judge(key, c, now) {
			if stable = append(stable, key); len(stable) == hintBatch {
				break
			}
		}
	}
	if len(stable) == 0 {
		return
	}
	if err := f.drop(ctx, stable); err != nil && ctx.Err() == nil {
		f.log.Warn("could not drop in what was found, will try again", "files", len(stable), "err", err)
		for _, key := range stable {
			if c := f.waiting[key]; c != nil {
				c.next = time.Now().Add(time.Second)
			}
		}
	}
}

// judge says whether a file is stable. One that is not to be taken any more stops waiting.
func (f *folder) judge(key string, c *candidate, now time.Time) bool {
	at, about, err := place(f.dir, key)
	switch {
	case errors.Is(err, errLinked):
		f.skips.skip(f.bucket, key, reasonReached)
	case errors.Is(err, fs.ErrInvalid):
		f.skips.skip(f.bucket, key, reasonForeign)
	}
	if err != nil || f.refuse(key, about) != "" || f.known.about(f.rough(key, about), false, f.now()) == settled {
		delete(f.waiting, key)
		return false
	}
	if m := markOf(about); m != c.mark {
		c.mark, c.since, c.wait = m, now, 0
		if changed := time.Unix(0, max(m.ctime, m.modTime)); changed.Before(now) {
			c.since = changed // it has been like this for longer than we know it
		}
	}
	if left := quiet - now.Sub(c.since); left > 0 {
		c.next = now.Add(left)
		return false
	}
	switch open, err := writing(at); {
	case errors.Is(err, errUnasked):
		if left := quietUnasked - now.Sub(c.since); left > 0 {
			c.next = now.Add(left)
			return false
		}
	case errors.Is(err, fs.ErrPermission):
		f.skips.skip(f.bucket, key, reasonUnreadable)
		delete(f.waiting, key) // a change of its permissions is an event
		return false
	case err != nil || open:
		c.again(now)
		return false
	}
	if about, err = os.Lstat(at); err != nil || markOf(about) != c.mark {
		c.next = now
		return false
	}
	return true
}

// missing tells of a file that the store does not show.
func (f *folder) missing(key string) {
	if _, _, err := place(f.dir, key); err == nil {
		f.skips.skip(f.bucket, key, reasonUnknown)
	}
}

// drop publishes hints for stable files, as the store describes them: every other hint about them is made of the same, and so has the same id.
func (f *folder) drop(ctx context.Context, keys []string) error {
	found := make([]*document.Source, len(keys))
	faults := make([]error, len(keys))
	var group sync.WaitGroup
	for first := range min(statsAtOnce, len(keys)) {
		group.Go(func() {
			for i := first; i < len(keys); i += statsAtOnce {
				info, err := f.platform.Store.Stat(ctx, f.bucket, keys[i])
				if errors.Is(err, object.ErrNotFound) {
					continue // deleted meanwhile, or a name that the store can't have
				}
				if err != nil {
					faults[i] = err
					continue
				}
				source := sourceOf(info)
				found[i] = &source
			}
		})
	}
	group.Wait()
	var sources []document.Source
	for i, source := range found {
		if source != nil && f.known.about(*source, true, f.now()) != settled {
			sources = append(sources, *source)
		}
		if source == nil && faults[i] == nil {
			f.missing(keys[i])
		}
	}
	if err := f.hints.send(ctx, f.now(), sources); err != nil {
		return err
	}
	for i, key := range keys {
		if faults[i] == nil {
			delete(f.waiting, key)
		}
	}
	return errors.Join(faults...)
}
