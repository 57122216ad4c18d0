package onebox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/pdfmill/pdfmill/embedded"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// local is the gateway of this process as an object.Store, for one of its accounts.
type local struct{ gateway *embedded.Local }

// Stat implements object.Store.
func (l local) Stat(ctx context.Context, bucket, key string) (object.Info, error) {
	o, err := l.gateway.Head(ctx, bucket, key)
	return infoOf(o), translate(ctx, "stat", bucket, key, err)
}

// Get implements object.Store.
func (l local) Get(ctx context.Context, bucket, key string) (io.ReadCloser, object.Info, error) {
	body, o, err := l.gateway.Get(ctx, bucket, key)
	return body, infoOf(o), translate(ctx, "read", bucket, key, err)
}

// Put implements object.Store.
func (l local) Put(ctx context.Context, bucket, key string, body io.Reader, size int64, how object.Put) (object.Info, error) {
	if size < 0 {
		spool := object.NewSpool("")
		defer spool.Close()
		if _, err := io.Copy(spool, body); err != nil {
			return object.Info{}, translate(ctx, "write", bucket, key, err)
		}
		body, size = spool.Reader(), spool.Size()
	}
	o, err := l.gateway.Put(ctx, bucket, key, body, size, embedded.Write{ContentType: how.ContentType, Metadata: how.Metadata, Once: how.Once})
	return infoOf(o), translate(ctx, "write", bucket, key, err)
}

// List implements object.Store.
func (l local) List(ctx context.Context, bucket, prefix string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		for o, err := range l.gateway.List(ctx, bucket, prefix) {
			if !yield(infoOf(o), translate(ctx, "list", bucket, prefix, err)) {
				return
			}
		}
	}
}

// Delete implements object.Store.
func (l local) Delete(ctx context.Context, bucket, key string) error {
	return translate(ctx, "delete", bucket, key, l.gateway.Delete(ctx, bucket, key))
}

func infoOf(o embedded.Put) object.Info {
	return object.Info{
		Bucket: o.Bucket, Key: o.Key, ETag: o.ETag, Size: o.Size, ModTime: o.ModTime.UTC().Truncate(time.Second), Metadata: o.Metadata,
	}
}

func translate(ctx context.Context, op, bucket, key string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, embedded.ErrNoObject):
		return fmt.Errorf("%s %s/%s: %w", op, bucket, key, object.ErrNotFound)
	case errors.Is(err, embedded.ErrTaken):
		return fmt.Errorf("%s %s/%s: %w", op, bucket, key, object.ErrExists)
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s/%s: %w", op, bucket, key, ctx.Err())
	}
	return failure.New(failure.StoreUnavailable, op, bucket+"/"+key, err).WithHint("check the free space where --data is")
}
