package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
)

// S3 is a running gateway. There is one a process, and it changes the process' working directory to its own: see the package's comment.
type S3 struct {
	root     string
	url      string
	backend  *backend
	accounts []Account
	end      context.CancelFunc // of serving
	cut      context.CancelFunc // of announcements
	served   chan struct{}      // closed when the gateway has ended
	err      error              // why; after served
}

// running says whether this process has a gateway. A second one would move the first one's working directory away and have it write into the wrong folder.
var running atomic.Bool

// largestCopy is S3's own limit for one copy request, in bytes.
const largestCopy = 5 << 30

// StartS3 starts the gateway and returns when it takes requests. It fails when Dir is in use or not writable, the port is taken, this process has a gateway
// already, or a setting makes no sense.
func StartS3(ctx context.Context, c S3Config) (*S3, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("S3 gateway: %w", err)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.fsync == nil {
		c.fsync = (*os.File).Sync
	}
	held, err := take(c.Dir, c.fsync)
	if err != nil {
		return nil, fmt.Errorf("start S3 gateway: %w", err)
	}
	if !running.CompareAndSwap(false, true) {
		held.release()
		return nil, fmt.Errorf("start S3 gateway on %s: this process has one already (stop it first, and wait until its clients are gone)", c.Dir)
	}
	release := func() {
		running.Store(false)
		held.release()
	}
	s, err := open(ctx, c)
	if err != nil {
		release()
		return nil, fmt.Errorf("start S3 gateway on %s: %w", c.Dir, err)
	}
	if err := s.listen(ctx, c, release); err != nil {
		s.cut()
		s.backend.Shutdown()
		release()
		return nil, fmt.Errorf("start S3 gateway on %s: %w", c.Dir, err)
	}
	return s, nil
}

// open prepares the folder. From here on the process works in it.
func open(ctx context.Context, c S3Config) (*S3, error) {
	// Bucket names begin with a letter or digit, so that the lock file beside them is none.
	for _, bucket := range c.Buckets {
		if err := c.fsync.makeDir(filepath.Join(c.Dir, bucket)); err != nil {
			return nil, fmt.Errorf("make bucket %s: %w", bucket, err)
		}
	}
	if err := (meta.XattrMeta{}).Test(c.Dir); err != nil {
		return nil, fmt.Errorf("%w (choose a folder on ext4, xfs, btrfs or tmpfs with --data)", err)
	}
	options := posix.PosixOpts{CopyObjectThreshold: largestCopy}
	options.SetNewDirPerm(0o700)
	options.SetNewFilePerm(0o600)
	files, err := posix.New(c.Dir, meta.XattrMeta{}, options)
	if err != nil {
		return nil, err
	}
	synced, err := c.Durability.synced()
	if err != nil {
		return nil, err
	}
	life, cut := context.WithCancel(context.WithoutCancel(ctx))
	b := &backend{Posix: files, root: c.Dir, synced: synced, fsync: c.fsync, life: life, buckets: c.AnnounceBuckets, announce: c.Announce, log: c.Log, parts: map[holder][]byte{}}
	if err := setRights(ctx, b, c); err != nil {
		cut()
		files.Shutdown()
		return nil, err
	}
	return &S3{root: c.Dir, backend: b, accounts: c.Accounts, cut: cut}, nil
}

// URL is where clients connect.
func (s *S3) URL() string { return s.url }

// BucketDir is the folder that is a bucket.
func (s *S3) BucketDir(bucket string) string { return filepath.Join(s.root, bucket) }

// stopWait bounds the wait for requests in work and for clients that keep idle connections open.
const stopWait = 5 * time.Second

// Stop ends the gateway within 5 s; what it answered is stored. A request that is still in work then is not acknowledged any more: its client sees an error or a
// broken connection. The folder stays locked until such a request is gone, or the process.
func (s *S3) Stop(ctx context.Context) error {
	defer s.cut()
	s.end()
	ctx, cancel := context.WithTimeout(ctx, stopWait)
	defer cancel()
	select {
	case <-s.served:
		if s.err != nil && !errors.Is(s.err, context.Canceled) {
			return fmt.Errorf("stop S3 gateway: %w", s.err)
		}
	case <-ctx.Done():
		s.backend.log.Warn("S3 gateway stopped with clients connected", "folder", s.root)
	}
	return nil
}
