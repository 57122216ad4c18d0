package object

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"
)

// S3 is a Store over any S3 service.
type S3 struct {
	client    *minio.Client
	transport *http.Transport
	sse       encrypt.ServerSide // nil: as the bucket says
}

// NewS3 makes a client; it does not connect yet.
func NewS3(c Config) (*S3, error) {
	u, err := c.check()
	if err != nil {
		return nil, err
	}
	transport, err := minio.DefaultTransport(u.Scheme == "https")
	if err != nil {
		return nil, fmt.Errorf("S3 transport: %w", err)
	}
	transport.MaxIdleConnsPerHost = 64
	if c.CA != "" {
		if err := trust(transport, c.CA); err != nil {
			return nil, err
		}
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: c.credentials(transport), Secure: u.Scheme == "https", Region: c.Region, Transport: transport,
		BucketLookup: styles[c.Style], MaxRetries: 3,
	})
	if err != nil {
		return nil, fmt.Errorf("S3 client for %s: %w", c.Endpoint, err)
	}
	sse, err := c.encryption()
	return &S3{client: client, transport: transport, sse: sse}, err
}

// Close drops idle connections; a server that waits for them can then stop.
func (s *S3) Close() { s.transport.CloseIdleConnections() }

// EnsureBucket creates a bucket that is missing.
func (s *S3) EnsureBucket(ctx context.Context, bucket string) error {
	exists, err := s.client.BucketExists(ctx, bucket)
	if err == nil && !exists {
		err = s.client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{})
	}
	if err != nil && minio.ToErrorResponse(err).Code != "BucketAlreadyOwnedByYou" {
		return translate("make bucket", bucket, "", err)
	}
	return nil
}

// Stat implements Store.
func (s *S3) Stat(ctx context.Context, bucket, key string) (Info, error) {
	o, err := s.client.StatObject(ctx, bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return Info{}, translate("stat", bucket, key, err)
	}
	return info(bucket, o), nil
}

// Get implements Store.
func (s *S3) Get(ctx context.Context, bucket, key string) (io.ReadCloser, Info, error) {
	core := minio.Core{Client: s.client}
	body, o, _, err := core.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, Info{}, translate("read", bucket, key, err)
	}
	return body, info(bucket, o), nil
}

// Put implements Store.
func (s *S3) Put(ctx context.Context, bucket, key string, body io.Reader, size int64, how Put) (Info, error) {
	options := minio.PutObjectOptions{ContentType: how.ContentType, UserMetadata: how.Metadata, ServerSideEncryption: s.sse}
	if size < 0 {
		options.PartSize = 16 << 20 // bounds the memory of an upload of unknown size
	}
	if how.Once {
		options.SetMatchETagExcept("*")
	}
	put := s.client.PutObject
	if again, ok := body.(io.ReadSeeker); ok && 0 <= size && size <= plainPut {
		sum, err := sumOf(again)
		if err != nil {
			return Info{}, fmt.Errorf("write %s/%s: %w", bucket, key, err)
		}
		put = func(ctx context.Context, bucket, key string, body io.Reader, size int64, options minio.PutObjectOptions) (minio.UploadInfo, error) {
			options.DisableContentSha256 = true // of chunks: the whole has its own
			return minio.Core{Client: s.client}.PutObject(ctx, bucket, key, body, size, "", sum, options)
		}
	}
	up, err := put(ctx, bucket, key, body, size, options)
	if err != nil {
		return Info{}, translate("write", bucket, key, err)
	}
	return Info{Bucket: bucket, Key: key, ETag: up.ETag, Size: up.Size, ModTime: up.LastModified}, nil
}

// plainPut is the size, in bytes, up to which an object that can be read twice is one plain request with the sum of its bytes. Others go in chunks, each signed, of which
// a gateway leaves some on the connection when it refuses the request, or when there are no bytes: it takes them for a next request, and refuses that, sometimes in
// the place of the real one (versitygw 1.8).
const plainPut = 4 << 20

// sumOf is the SHA-256 of a body at its start, where it is afterwards.
func sumOf(body io.ReadSeeker) (string, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, body); err != nil {
		return "", err
	}
	_, err := body.Seek(0, io.SeekStart)
	return hex.EncodeToString(hash.Sum(nil)), err
}

// List implements Store.
func (s *S3) List(ctx context.Context, bucket, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends minio-go's producer when the caller stops early
		for o := range s.client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
			if o.Err != nil {
				yield(Info{}, translate("list", bucket, prefix, o.Err))
				return
			}
			if !yield(info(bucket, o), nil) {
				return
			}
		}
	}
}

// Delete implements Store.
func (s *S3) Delete(ctx context.Context, bucket, key string) error {
	err := translate("delete", bucket, key, s.client.RemoveObject(ctx, bucket, key, minio.RemoveObjectOptions{}))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func info(bucket string, o minio.ObjectInfo) Info {
	metadata := make(map[string]string, len(o.UserMetadata))
	for k, v := range o.UserMetadata {
		metadata[strings.TrimPrefix(strings.ToLower(k), "x-amz-meta-")] = v
	}
	return Info{
		Bucket: bucket, Key: o.Key, ETag: strings.Trim(o.ETag, `"`), Size: o.Size,
		ModTime: o.LastModified.UTC().Truncate(time.Second), Metadata: metadata,
	}
}

func translate(op, bucket, key string, err error) error {
	if err == nil {
		return nil
	}
	switch minio.ToErrorResponse(err).Code {
	case "NoSuchKey", "NotFound":
		return fmt.Errorf("%s %s/%s: %w", op, bucket, key, ErrNotFound)
	case "PreconditionFailed":
		return fmt.Errorf("%s %s/%s: %w", op, bucket, key, ErrExists)
	}
	return unavailable(op, bucket, key, err)
}
