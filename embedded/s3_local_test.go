package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/pdfmill/pdfmill/embedded"
)

func local(t testing.TB, s *embedded.S3, access string) *embedded.Local {
	t.Helper()
	l, err := s.Local(access)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func putLocal(ctx context.Context, l *embedded.Local, bucket, key, body string, how embedded.Write) error {
	_, err := l.Put(ctx, bucket, key, strings.NewReader(body), int64(len(body)), how)
	return err
}

// TestLocalSeesWhatClientsSee: both ways lead to the same objects, with the same names, sums, times and metadata.
func TestLocalSeesWhatClientsSee(t *testing.T) {
	seen := &puts{}
	s := startS3(t, s3Config(t.TempDir(), embedded.Synced, seen.announce))
	c, l := client(t, s.URL(), "root"), local(t, s, "root")
	ctx := t.Context()
	how := embedded.Write{ContentType: "text/plain", Metadata: map[string]string{"Colour": "grün"}}
	if err := putLocal(ctx, l, "inbox", "a b/ü+%.pdf", "from within", how); err != nil {
		t.Fatal(err)
	}
	if got := seen.last(t); got.Key != "a b/ü+%.pdf" || got.Metadata["colour"] != "grün" || got.Size != 11 {
		t.Errorf("announced %+v", got)
	}
	if got := get(t, c, "inbox", "a b/ü+%.pdf"); got != "from within" {
		t.Errorf("a client reads %q", got)
	}
	if err := put(t, c, "inbox", "a b/other.pdf", "from a client", minio.PutObjectOptions{UserMetadata: map[string]string{"Colour": "grün"}}); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"a b/ü+%.pdf": "from within", "a b/other.pdf": "from a client"} {
		byClient, err := c.StatObject(ctx, "inbox", key, minio.StatObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		head, err := l.Head(ctx, "inbox", key)
		if err != nil {
			t.Fatal(err)
		}
		if head.ETag != byClient.ETag || head.Size != byClient.Size || head.ModTime.Unix() != byClient.LastModified.Unix() || head.Metadata["colour"] != byClient.UserMetadata["Colour"] {
			t.Errorf("%s: within %+v, outside %+v", key, head, byClient)
		}
		body, info, err := l.Get(ctx, "inbox", key)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(body)
		if err != nil || string(content) != want || info.ETag != head.ETag || info.Metadata["colour"] != "grün" || body.Close() != nil {
			t.Errorf("%s: %q, %v, %+v", key, content, err, info)
		}
	}
	for i := range 1001 { // more than a page of the listing
		if err := putLocal(ctx, l, "pdfmill", fmt.Sprintf("jobs/%04d", i), "x", embedded.Write{}); err != nil {
			t.Fatal(err)
		}
	}
	for bucket, prefix := range map[string]string{"inbox": "a b/", "pdfmill": "jobs/0", "private": ""} {
		var keys []string
		for o, err := range l.List(ctx, bucket, prefix) {
			if err != nil || o.ETag == "" || o.Size == 0 || o.ModTime.IsZero() {
				t.Fatalf("%+v, %v", o, err)
			}
			keys = append(keys, o.Key)
		}
		if got, want := strings.Join(keys, " "), list(t, c, bucket, prefix); got != want {
			t.Errorf("%s/%s: within %q, outside %q", bucket, prefix, got, want)
		}
	}
	n := 0
	for _, err := range l.List(ctx, "pdfmill", "") {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != 1001 {
		t.Errorf("%d of 1001 are listed", n)
	}
}

func TestLocalRefusesAsTheGatewayDoes(t *testing.T) {
	s := startS3(t, s3Config(t.TempDir(), embedded.Relaxed, (&puts{}).announce))
	l := local(t, s, "root")
	ctx := t.Context()
	once := embedded.Write{Once: true}
	if err := putLocal(ctx, l, "pdfmill", "jobs/a", "first", once); err != nil {
		t.Fatal(err)
	}
	if err := putLocal(ctx, l, "pdfmill", "jobs/a", "second", once); !errors.Is(err, embedded.ErrTaken) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := l.Head(ctx, "pdfmill", "jobs/b"); !errors.Is(err, embedded.ErrNoObject) {
		t.Errorf("head of none: %v", err)
	}
	if _, _, err := l.Get(ctx, "pdfmill", "jobs/b"); !errors.Is(err, embedded.ErrNoObject) {
		t.Errorf("get of none: %v", err)
	}
	for range 2 { // the second time it is gone
		if err := l.Delete(ctx, "pdfmill", "jobs/a"); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	for size, why := range map[int64]string{4: "too many", 6: "too few"} {
		if _, err := l.Put(ctx, "pdfmill", "jobs/c", bytes.NewReader([]byte("12345")), size, embedded.Write{}); err == nil {
			t.Errorf("%s bytes are taken", why)
		}
	}
	if err := putLocal(ctx, l, "pdfmill", "jobs/d", "12345", embedded.Write{}); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"../outside", "jobs/../../outside", "/jobs"} {
		if err := putLocal(ctx, l, "pdfmill", key, "x", embedded.Write{}); err == nil {
			t.Errorf("%q is a name", key)
		}
	}
	var left []string
	for o, err := range l.List(ctx, "pdfmill", "") {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, o.Key)
	}
	if got := strings.Join(left, " "); got != "jobs/d" {
		t.Errorf("left are %q", got)
	}
	if _, err := s.Local("stranger"); err == nil {
		t.Error("there is an account without a name")
	}
}

// TestLocalHasTheRightsOfItsAccount: what a client with the same account may not do, it may not either.
func TestLocalHasTheRightsOfItsAccount(t *testing.T) {
	s := startS3(t, s3Config(t.TempDir(), embedded.Relaxed, (&puts{}).announce))
	root := local(t, s, "root")
	ctx := t.Context()
	for _, key := range []string{"jobs/a", "source/a", "other/a"} {
		for _, bucket := range []string{"inbox", "pdfmill"} {
			if err := putLocal(ctx, root, bucket, key, "x", embedded.Write{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, access := range []string{"service", "user"} {
		l, c := local(t, s, access), client(t, s.URL(), access)
		for _, bucket := range []string{"inbox", "pdfmill"} {
			for _, key := range []string{"jobs/a", "source/a", "other/a"} {
				_, head := l.Head(ctx, bucket, key)
				_, byClient := c.StatObject(ctx, bucket, key, minio.StatObjectOptions{})
				write, byClientWrite := putLocal(ctx, l, bucket, key, "x", embedded.Write{}), put(t, c, bucket, key, "x", minio.PutObjectOptions{})
				for what, both := range map[string][2]error{"read": {head, byClient}, "write": {write, byClientWrite}} {
					if (both[0] == nil) != (both[1] == nil) || (both[0] != nil && !errors.Is(both[0], embedded.ErrForbidden)) {
						t.Errorf("%s %s %s/%s: within %v, outside %v", access, what, bucket, key, both[0], both[1])
					}
				}
			}
			var within error
			for _, within = range l.List(ctx, bucket, "") {
			}
			var outside error
			for o := range c.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
				outside = o.Err
			}
			if (within == nil) != (outside == nil) {
				t.Errorf("%s lists %s: within %v, outside %v", access, bucket, within, outside)
			}
		}
		if err := l.Delete(ctx, "pdfmill", "jobs/a"); !errors.Is(err, embedded.ErrForbidden) {
			t.Errorf("%s deletes: %v", access, err)
		}
	}
}

// TestLocalEndsWithTheGateway: when it has stopped, nobody writes into its folder any more.
func TestLocalEndsWithTheGateway(t *testing.T) {
	s := startS3(t, s3Config(t.TempDir(), embedded.Relaxed, (&puts{}).announce))
	l := local(t, s, "root")
	stop(t, s.Stop)
	if err := putLocal(t.Context(), l, "pdfmill", "jobs/a", "x", embedded.Write{}); err == nil {
		t.Error("it is written all the same")
	}
}
