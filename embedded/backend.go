package embedded

import (
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3response"
	"golang.org/x/sync/singleflight"
)

// backend is the gateway's POSIX backend with two promises more: what was answered survives a power cut (when synced), and an object in an announced
// bucket was announced before the client heard of its success. When either fails, so does the request, in a way that makes clients try again.
type backend struct {
	*posix.Posix
	root      string
	synced    bool
	fsync     fsync
	folders   folders
	life      context.Context // ends when nothing is acknowledged any more
	buckets   []string        // announced ones
	announce  func(context.Context, Put) error
	log       *slog.Logger
	parts     map[holder][]byte  // of policies, set before the gateway serves
	completes singleflight.Group // of uploads, by id

	inside sync.RWMutex // held for reading by each request from within this process
	ended  bool         // no more of them
}

// PutObject implements the gateway's backend. The content is synced before the name exists, so that a name that held an acknowledged object never leads to less;
// the attributes are set after that, so that stored syncs once more.
func (b *backend) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	in.ContentEncoding = withoutChunked(in.ContentEncoding)
	out, err := b.PutObjectWithPostFunc(ctx, in, b.syncFile)
	if err != nil {
		return out, err
	}
	return out, b.stored(ctx, *in.Bucket, *in.Key)
}

// CreateMultipartUpload implements the gateway's backend.
func (b *backend) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	in.ContentEncoding = withoutChunked(in.ContentEncoding)
	return b.Posix.CreateMultipartUpload(ctx, in)
}

type completed struct {
	out     s3response.CompleteMultipartUploadResult
	version string
}

// CompleteMultipartUpload implements the gateway's backend. A client that repeats the request while the first is in work waits for that one's result: left alone,
// the POSIX backend answers it with success at once.
func (b *backend) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	if in.Key == nil || in.UploadId == nil || in.MultipartUpload == nil {
		return b.Posix.CompleteMultipartUpload(ctx, in) // which refuses it
	}
	// The gateway's strings are views of buffers that it uses again after the first of the requests.
	call := *in
	bucket, key, id := strings.Clone(*in.Bucket), strings.Clone(*in.Key), strings.Clone(*in.UploadId)
	call.Bucket, call.Key, call.UploadId = &bucket, &key, &id
	result, err, _ := b.completes.Do(id, func() (any, error) {
		left := len(in.MultipartUpload.Parts)
		var syncErr error
		join := func(part, whole *os.File) (bool, error) {
			if _, err := io.Copy(whole, part); err != nil {
				return true, err // it copies the rest in its own way
			}
			if left--; left == 0 {
				syncErr = b.syncFile(whole)
			}
			return true, nil
		}
		out, version, err := b.CompleteMultipartUploadWithCopy(ctx, &call, join)
		if err == nil {
			err = syncErr
		}
		if err == nil {
			err = b.stored(ctx, bucket, key)
		}
		return completed{out, version}, err
	})
	done, _ := result.(completed)
	return done.out, done.version, err
}

// CopyObject implements the gateway's backend.
func (b *backend) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	out, err := b.Posix.CopyObject(ctx, in)
	if err != nil {
		return out, err
	}
	return out, b.stored(ctx, *in.Bucket, *in.Key)
}

// DeleteObject implements the gateway's backend.
func (b *backend) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	out, err := b.Posix.DeleteObject(ctx, in)
	if err != nil {
		return out, err
	}
	return out, b.removed(*in.Bucket, *in.Key)
}

// DeleteObjects implements the gateway's backend.
func (b *backend) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	out, err := b.Posix.DeleteObjects(ctx, in)
	if err != nil {
		return out, err
	}
	var keys []string
	for _, object := range out.Deleted {
		keys = append(keys, *object.Key)
	}
	return out, b.removed(*in.Bucket, keys...)
}

// CreateBucket implements the gateway's backend.
func (b *backend) CreateBucket(ctx context.Context, in *s3.CreateBucketInput, acl []byte) error {
	if err := b.Posix.CreateBucket(ctx, in, acl); err != nil || !b.synced {
		return err
	}
	return b.refuse("new bucket is not synced", *in.Bucket, "", b.fsync.up(b.path(*in.Bucket, ""), b.root))
}

// withoutChunked removes the transfer's own encoding, which clients that sign a stream send along, from what is stored.
func withoutChunked(encoding *string) *string {
	if encoding == nil {
		return nil
	}
	kept := slices.DeleteFunc(strings.Split(*encoding, ","), func(e string) bool { return strings.TrimSpace(e) == "aws-chunked" })
	text := strings.TrimSpace(strings.Join(kept, ","))
	if text == "" {
		return nil
	}
	return &text
}
