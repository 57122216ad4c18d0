package embedded

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/versity/versitygw/s3err"
)

func (b *backend) syncFile(file *os.File) error {
	if b.life.Err() != nil {
		return s3err.GetAPIError(s3err.ErrInternalError)
	}
	if !b.synced {
		return nil
	}
	return b.refuse("content is not synced", "", "", b.fsync(file))
}

func (b *backend) path(bucket, key string) string { return filepath.Join(b.root, bucket, key) }

// stored makes a written object's attributes and name durable, then announces it.
func (b *backend) stored(ctx context.Context, bucket, key string) error {
	if b.synced {
		name := b.fsync.up
		if !slices.Contains(b.buckets, bucket) { // in an inbox users move folders about
			name = func(path, top string) error { return b.folders.name(b.fsync, path, top) }
		}
		if err := name(b.path(bucket, key), b.path(bucket, "")); err != nil {
			return b.refuse("object is not synced", bucket, key, err)
		}
	}
	if slices.Contains(b.buckets, bucket) && !strings.HasSuffix(key, "/") {
		if err := b.tell(ctx, bucket, key); err != nil {
			return b.refuse("object is stored, but not announced", bucket, key, err)
		}
	}
	return b.refuse("gateway is stopping", bucket, key, b.life.Err())
}

// removed makes deletes durable. Folders that became empty are gone too: the end of their names is in the first one that is left.
func (b *backend) removed(bucket string, keys ...string) error {
	if !b.synced {
		return nil
	}
	folders := map[string]bool{}
	for _, key := range keys {
		dir := filepath.Dir(b.path(bucket, key))
		for ; len(dir) > len(b.path(bucket, "")); dir = filepath.Dir(dir) {
			if _, err := os.Stat(dir); err == nil {
				break
			}
		}
		folders[dir] = true
	}
	for dir := range folders {
		if err := b.fsync.up(dir, dir); err != nil {
			return b.refuse("delete is not synced", bucket, "", err)
		}
	}
	return nil
}

// refuse turns an error into an answer that makes clients try again, and logs why; without an error it is nothing.
func (b *backend) refuse(what, bucket, key string, err error) error {
	if err == nil {
		return nil
	}
	b.log.Warn(what+": the client is asked to try again", "bucket", bucket, "key", key, "err", err)
	return s3err.GetAPIError(s3err.ErrInternalError)
}
