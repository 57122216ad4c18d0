package embedded

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/s3err"
)

// Put is an object that was put, as the store now reports it.
type Put struct {
	Bucket, Key, ETag string // the key as a listing shows it; the ETag without quotes
	Size              int64  // bytes
	ModTime           time.Time
	Metadata          map[string]string // the user's, names in lower case without "x-amz-meta-"
}

// announceWait bounds one announcement.
const announceWait = 15 * time.Second

// tell announces an object. It does not end with the request: the server cancels that as soon as it is to stop, when a moment more would save the client a try.
func (b *backend) tell(ctx context.Context, bucket, key string) error {
	// The gateway's strings are views of buffers that it uses again after the request.
	bucket, key = strings.Clone(bucket), strings.Clone(key)
	head, err := b.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if errors.Is(err, s3err.GetAPIError(s3err.ErrNoSuchKey)) {
		return nil // deleted by another client meanwhile
	}
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	put := reported(bucket, b.NormalizeObjectKey(bucket, key), head.ETag, head.ContentLength, head.LastModified, head.Metadata)
	ctx, cancel := context.WithTimeout(b.life, announceWait)
	defer cancel()
	return b.announce(ctx, put)
}

// reported is an object as the POSIX backend tells of it.
func reported(bucket, key string, etag *string, size *int64, modified *time.Time, metadata map[string]string) Put {
	put := Put{Bucket: bucket, Key: key, Metadata: map[string]string{}}
	for name, value := range metadata {
		put.Metadata[strings.ToLower(name)] = value
	}
	if etag != nil {
		put.ETag = strings.Trim(*etag, `"`)
	}
	if size != nil {
		put.Size = *size
	}
	if modified != nil {
		put.ModTime = *modified
	}
	return put
}
