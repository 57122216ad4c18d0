// Package object is the seam to the object store: buckets of keys, written whole or not at all, read with their hash checked.
package object

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// Errors that callers decide on.
var (
	// ErrNotFound says that the key does not exist.
	ErrNotFound = errors.New("object not found")
	// ErrExists says that a PutOnce found the key taken.
	ErrExists = errors.New("object exists")
)

// Info describes an object.
type Info struct {
	Bucket, Key, ETag string
	Size              int64 // bytes
	ModTime           time.Time
	Metadata          map[string]string // user metadata, lower-case keys without the store's prefix; only from Stat and Get
}

// Put says how to write.
type Put struct {
	ContentType string
	Metadata    map[string]string
	// Once refuses to overwrite: the call fails with ErrExists when the key is taken. Of several racing writers one wins.
	Once bool
}

// Store is an object store. Every error that is not ErrNotFound, ErrExists or the context's is a *failure.Error of class store-unavailable.
type Store interface {
	// Stat describes an object.
	Stat(ctx context.Context, bucket, key string) (Info, error)
	// Get opens an object for reading; the caller closes it.
	Get(ctx context.Context, bucket, key string) (io.ReadCloser, Info, error)
	// Put writes size bytes (-1: unknown) and returns when they are stored.
	Put(ctx context.Context, bucket, key string, body io.Reader, size int64, how Put) (Info, error)
	// List yields the objects under prefix in key order, without metadata. An error ends the iteration.
	List(ctx context.Context, bucket, prefix string) iter.Seq2[Info, error]
	// Delete removes an object; one that is not there is removed already.
	Delete(ctx context.Context, bucket, key string) error
}

// PutBytes writes a small object.
func PutBytes(ctx context.Context, s Store, bucket, key string, data []byte, how Put) (Info, error) {
	return s.Put(ctx, bucket, key, bytes.NewReader(data), int64(len(data)), how)
}

// PutJSON writes v as an object.
func PutJSON(ctx context.Context, s Store, bucket, key string, v any, how Put) (Info, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return Info{}, fmt.Errorf("marshal %s: %w", key, err)
	}
	how.ContentType = "application/json"
	return PutBytes(ctx, s, bucket, key, data, how)
}

// GetBytes reads an object of at most limit bytes whole.
func GetBytes(ctx context.Context, s Store, bucket, key string, limit int64) ([]byte, Info, error) {
	body, info, err := s.Get(ctx, bucket, key)
	if err != nil {
		return nil, info, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, info, unavailable("read", bucket, key, err)
	}
	if int64(len(data)) > limit {
		return nil, info, failure.Newf(failure.LimitBytes, "read", bucket+"/"+key, "larger than %d bytes", limit)
	}
	return data, info, nil
}

// GetJSON reads an object of at most limit bytes into v.
func GetJSON(ctx context.Context, s Store, bucket, key string, limit int64, v any) (Info, error) {
	data, info, err := GetBytes(ctx, s, bucket, key, limit)
	if err != nil {
		return info, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return info, fmt.Errorf("decode %s/%s: %w", bucket, key, err)
	}
	return info, nil
}

// Download copies an object to w and fails with class source-changed when its bytes do not have the given sha256 (hex). It returns the number of bytes.
func Download(ctx context.Context, s Store, bucket, key, sha string, w io.Writer) (int64, error) {
	body, info, err := s.Get(ctx, bucket, key)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	n, got, err := Copy(w, body, info)
	if err != nil {
		return n, err
	}
	if got != sha {
		return n, failure.Newf(failure.SourceChanged, "read", bucket+"/"+key, "its sha256 is %s, want %s", got, sha)
	}
	return n, nil
}

// Copy copies to w what Get opened. It returns the number of bytes and their sha256 (hex). A failure to read has its class, one to write has not.
func Copy(w io.Writer, body io.Reader, of Info) (n int64, sha string, err error) {
	hash := sha256.New()
	n, err = io.Copy(io.MultiWriter(w, hash), &storeReader{body, of.Bucket, of.Key})
	return n, hex.EncodeToString(hash.Sum(nil)), err
}

// storeReader classifies what goes wrong while reading from the store, as opposed to while writing elsewhere.
type storeReader struct {
	io.Reader
	bucket, key string
}

func (r *storeReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = unavailable("read", r.bucket, r.key, err)
	}
	return n, err
}

func unavailable(op, bucket, key string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s %s/%s: %w", op, bucket, key, err)
	}
	return failure.New(failure.StoreUnavailable, op, bucket+"/"+key, err).
		WithHint("check the object store's address, credentials and free space")
}
