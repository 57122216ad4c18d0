package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// Put is an object that was written through the gateway, as the store now reports it.
type Put struct {
	Bucket, Key, ETag string
	Size              int64 // bytes
	ModTime           time.Time
	Metadata          map[string]string
}

// backend is the gateway's POSIX backend with two promises more: what was answered survives a power cut (when synced), and an object in an announced
// bucket was announced before the client heard of its success. When the announcement fails, so does the request; clients try again.
type backend struct {
	*posix.Posix
	root     string
	synced   bool
	buckets  []string
	announce func(context.Context, Put) error
	log      *slog.Logger
}

// PutObject implements the gateway's backend.
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

// CompleteMultipartUpload implements the gateway's backend.
func (b *backend) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	out, version, err := b.Posix.CompleteMultipartUpload(ctx, in)
	if err != nil {
		return out, version, err
	}
	if err = b.syncPath(*in.Bucket, *in.Key); err == nil {
		err = b.stored(ctx, *in.Bucket, *in.Key)
	}
	return out, version, err
}

// CopyObject implements the gateway's backend.
func (b *backend) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	out, err := b.Posix.CopyObject(ctx, in)
	if err != nil {
		return out, err
	}
	if err = b.syncPath(*in.Bucket, *in.Key); err == nil {
		err = b.stored(ctx, *in.Bucket, *in.Key)
	}
	return out, err
}

func (b *backend) syncFile(file *os.File) error {
	if !b.synced {
		return nil
	}
	return file.Sync()
}

// syncPath syncs a file that the backend wrote without telling when.
func (b *backend) syncPath(bucket, key string) error {
	if !b.synced {
		return nil
	}
	file, err := os.Open(b.path(bucket, key))
	if err != nil {
		return fmt.Errorf("sync %s/%s: %w", bucket, key, err)
	}
	return errors.Join(file.Sync(), file.Close())
}

func (b *backend) path(bucket, key string) string { return filepath.Join(b.root, bucket, key) }

// stored makes the name of a written object durable, then announces it.
func (b *backend) stored(ctx context.Context, bucket, key string) error {
	if b.synced {
		// Every folder up to the bucket may be new. Syncing an old one costs little.
		for dir := filepath.Dir(b.path(bucket, key)); len(dir) >= len(filepath.Join(b.root, bucket)); dir = filepath.Dir(dir) {
			if err := syncDir(dir); err != nil {
				return err
			}
		}
	}
	if !slices.Contains(b.buckets, bucket) || strings.HasSuffix(key, "/") {
		return nil
	}
	head, err := b.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return err // gone again already: the client that deleted it knows
	}
	// The gateway's strings are views of buffers that it uses again after the request.
	put := Put{Bucket: strings.Clone(bucket), Key: strings.Clone(key), Metadata: map[string]string{}}
	for name, value := range head.Metadata {
		put.Metadata[strings.Clone(name)] = strings.Clone(value)
	}
	if head.ETag != nil {
		put.ETag = strings.Clone(strings.Trim(*head.ETag, `"`))
	}
	if head.ContentLength != nil {
		put.Size = *head.ContentLength
	}
	if head.LastModified != nil {
		put.ModTime = *head.LastModified
	}
	if err := b.announce(ctx, put); err != nil {
		b.log.Warn("object stored but not announced: the client is asked to try again", "bucket", put.Bucket, "key", put.Key, "err", err)
		return s3err.GetAPIError(s3err.ErrInternalError)
	}
	return nil
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
