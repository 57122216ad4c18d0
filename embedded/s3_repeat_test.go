package embedded_test

import (
	"context"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/pdfmill/pdfmill/embedded"
)

// A client whose first request takes too long repeats it. The answer to the second must not come before the object is there.
func TestTheEndOfAnUploadRepeatedIsAnsweredWhenItIsDone(t *testing.T) {
	assembled, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	seen := &puts{}
	s := startS3(t, embedded.WithFsync(s3Config(t.TempDir(), embedded.Synced, seen.announce), func(file *os.File) error {
		if strings.HasPrefix(file.Name(), "/proc/self/fd") { // content that has no name yet
			once.Do(func() { close(assembled) })
			<-proceed
		}
		return file.Sync()
	}))
	user := client(t, s.URL(), "user")
	c := minio.Core{Client: user}
	ctx := t.Context()
	id, err := c.NewMultipartUpload(ctx, "inbox", "a.pdf", minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	part, err := c.PutObjectPart(ctx, "inbox", "a.pdf", id, 1, strings.NewReader("body"), 4, minio.PutObjectPartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	complete := func(ctx context.Context) {
		group.Go(func() {
			done, err := c.CompleteMultipartUpload(ctx, "inbox", "a.pdf", id, []minio.CompletePart{{PartNumber: 1, ETag: part.ETag}}, minio.PutObjectOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			info, err := user.StatObject(ctx, "inbox", "a.pdf", minio.StatObjectOptions{})
			if err != nil || info.ETag != done.ETag || seen.keys() == "" {
				t.Errorf("answered %+v, when the store has %+v, %v, and announced are %q", done, info, err, seen.keys())
			}
		})
	}
	complete(ctx)
	<-assembled
	sent := make(chan struct{})
	wrote := sync.OnceFunc(func() { close(sent) })
	complete(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { wrote() }}))
	<-sent
	for range 50 { // a hasty answer would overtake these
		if got := list(t, user, "inbox", ""); got != "" {
			t.Fatalf("listed %q", got)
		}
	}
	close(proceed)
	group.Wait()
}
