package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// Errors of Local that callers decide on. Whatever else goes wrong may go well another time.
var (
	ErrNoObject  = errors.New("no such object")
	ErrTaken     = errors.New("there is an object of this name")
	ErrForbidden = errors.New("the account has no right to do this")
)

// Local is an account's access to the gateway from within this process: with the same objects, rights and promises, but without the way through HTTP, signatures and
// sums of what is sent, which costs a small document as much as all the rest.
type Local struct {
	backend *backend
	account Account
	owner   bool
}

// Local returns the access of one of the configured accounts.
func (s *S3) Local(access string) (*Local, error) {
	for i, a := range s.accounts {
		if a.Access == access {
			return &Local{backend: s.backend, account: a, owner: i == 0}, nil
		}
	}
	return nil, fmt.Errorf("S3 gateway has no account %q", access)
}

// Head describes an object.
func (l *Local) Head(ctx context.Context, bucket, key string) (Put, error) {
	leave, err := l.enter(bucket, key, reads)
	if err != nil {
		return Put{}, err
	}
	defer leave()
	head, err := l.backend.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return Put{}, translated(err)
	}
	return reported(bucket, key, head.ETag, head.ContentLength, head.LastModified, head.Metadata), nil
}

// Get opens an object; the caller closes it.
func (l *Local) Get(ctx context.Context, bucket, key string) (io.ReadCloser, Put, error) {
	leave, err := l.enter(bucket, key, reads)
	if err != nil {
		return nil, Put{}, err
	}
	defer leave()
	out, err := l.backend.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, Put{}, translated(err)
	}
	return out.Body, reported(bucket, key, out.ETag, out.ContentLength, out.LastModified, out.Metadata), nil
}

// Write says how to put an object.
type Write struct {
	ContentType string
	Metadata    map[string]string
	Once        bool // refuse, with ErrTaken, when there is one
}

// Put writes the size bytes that body has and returns when they are stored, as durably as the gateway promises.
func (l *Local) Put(ctx context.Context, bucket, key string, body io.Reader, size int64, how Write) (Put, error) {
	leave, err := l.enter(bucket, key, writes)
	if err != nil {
		return Put{}, err
	}
	defer leave()
	in := s3response.PutObjectInput{Bucket: &bucket, Key: &key, Body: &exactly{body: body, want: size}, ContentLength: &size, Metadata: map[string]string{}}
	for name, value := range how.Metadata {
		in.Metadata[strings.ToLower(name)] = value
	}
	if how.ContentType != "" {
		in.ContentType = &how.ContentType
	}
	if how.Once {
		anything := "*"
		in.IfNoneMatch = &anything
	}
	out, err := l.backend.PutObject(ctx, in)
	if err != nil {
		return Put{}, translated(err)
	}
	return Put{Bucket: bucket, Key: key, ETag: strings.Trim(out.ETag, `"`), Size: size}, nil
}

// List yields the objects whose key begins with prefix, in the order of keys and without metadata. An error ends it.
func (l *Local) List(ctx context.Context, bucket, prefix string) iter.Seq2[Put, error] {
	return func(yield func(Put, error) bool) {
		after, most := "", int32(1000)
		for {
			page, err := l.page(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix, StartAfter: &after, ContinuationToken: &after, MaxKeys: &most})
			if err != nil {
				yield(Put{}, err)
				return
			}
			for _, o := range page.Contents {
				if !yield(reported(bucket, *o.Key, o.ETag, o.Size, o.LastModified, nil), nil) {
					return
				}
			}
			if page.IsTruncated == nil || !*page.IsTruncated || page.NextContinuationToken == nil {
				return
			}
			after = *page.NextContinuationToken
		}
	}
}

func (l *Local) page(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	leave, err := l.enter(*in.Bucket, "", lists)
	if err != nil {
		return s3response.ListObjectsV2Result{}, err
	}
	defer leave()
	page, err := l.backend.ListObjectsV2(ctx, in)
	return page, translated(err)
}

// Delete removes an object; one that is not there is removed already.
func (l *Local) Delete(ctx context.Context, bucket, key string) error {
	leave, err := l.enter(bucket, key, deletes)
	if err != nil {
		return err
	}
	defer leave()
	_, err = l.backend.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
	if err = translated(err); errors.Is(err, ErrNoObject) {
		return nil
	}
	return err
}

// What a grant may allow with a key.
func reads(g Grant, key string) bool   { return strings.HasPrefix(key, g.Prefix) }
func writes(g Grant, key string) bool  { return g.Write && strings.HasPrefix(key, g.Prefix) }
func deletes(g Grant, key string) bool { return g.Delete && strings.HasPrefix(key, g.Prefix) }
func lists(Grant, string) bool         { return true }

// enter begins a request, unless its account may not or the gateway has ended. Whoever enters leaves.
func (l *Local) enter(bucket, key string, does func(g Grant, key string) bool) (leave func(), err error) {
	if key != "" && !utils.IsObjectNameValid(key) {
		return nil, fmt.Errorf("%q is not the name of an object", key)
	}
	allowed := l.owner
	for _, g := range l.account.Grants {
		allowed = allowed || (g.Bucket == bucket && does(g, key))
	}
	if !allowed {
		return nil, fmt.Errorf("%w (account %s)", ErrForbidden, l.account.Access)
	}
	l.backend.inside.RLock()
	if l.backend.ended {
		l.backend.inside.RUnlock()
		return nil, errors.New("the gateway has ended")
	}
	return l.backend.inside.RUnlock, nil
}

// end waits for requests from within this process and lets no more in.
func (b *backend) end() {
	b.inside.Lock()
	defer b.inside.Unlock()
	b.ended = true
}

func translated(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, s3err.GetAPIError(s3err.ErrNoSuchKey)):
		return ErrNoObject
	case errors.Is(err, s3err.GetAPIError(s3err.ErrPreconditionFailed)):
		return ErrTaken
	}
	return err
}

// exactly reads as many bytes as were announced, or fails.
type exactly struct {
	body io.Reader
	want int64
	read int64
}

func (e *exactly) Read(p []byte) (int, error) {
	n, err := e.body.Read(p)
	e.read += int64(n)
	switch {
	case e.read > e.want:
		return n, fmt.Errorf("more than the %d bytes that were announced", e.want)
	case errors.Is(err, io.EOF) && e.read < e.want:
		return n, fmt.Errorf("%d of %d bytes: %w", e.read, e.want, io.ErrUnexpectedEOF)
	}
	return n, err
}
