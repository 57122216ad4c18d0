package onebox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/embedded"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
)

// TestAStageCanNotTellWhichStoreItHas: that of this process and a client of the same account say the same to the same requests.
func TestAStageCanNotTellWhichStoreItHas(t *testing.T) {
	box, err := Start(t.Context(), Config{Dir: t.TempDir(), NATSAddr: "127.0.0.1:0", S3Addr: "127.0.0.1:0", Durability: embedded.Relaxed, Engines: []string{"text"}, Log: telemetry.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	_, within := box.Stage(stage.Publisher)
	outside, err := object.NewS3(object.Config{Endpoint: box.s3.URL(), AccessKey: stage.Publisher, SecretKey: box.secrets["s3-"+stage.Publisher], Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(outside.Close)
	// Each says what it saw of a folder of its own.
	if got, want := said(t, within, "jobs/within/"), said(t, outside, "jobs/outsid/"); got != want {
		t.Errorf("within:\n%s\noutside:\n%s", got, want)
	}
	if _, err := within.Put(t.Context(), "pdfmill", "jobs/within/any", strings.NewReader("12345"), -1, object.Put{}); err != nil {
		t.Errorf("as many bytes as there are: %v", err)
	}
	if i, err := within.Stat(t.Context(), "pdfmill", "jobs/within/any"); err != nil || i.Size != 5 {
		t.Errorf("as many bytes as there are: %+v, %v", i, err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := within.Stat(cancelled, "pdfmill", "jobs/within/a"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func said(t *testing.T, s object.Store, folder string) string {
	t.Helper()
	var out strings.Builder
	ctx := t.Context()
	tell := func(what string, i object.Info, err error) {
		kind := fmt.Sprint(errors.Is(err, object.ErrNotFound), errors.Is(err, object.ErrExists), failure.ClassOf(err, ""))
		_, _ = fmt.Fprintln(&out, what, i.Bucket, strings.TrimPrefix(i.Key, folder), i.ETag, i.Size, i.Metadata, kind)
	}
	put := func(key, body string, size int64, how object.Put) {
		i, err := s.Put(ctx, "pdfmill", folder+key, strings.NewReader(body), size, how)
		tell("put "+key, i, err)
	}
	put("a", "one", 3, object.Put{ContentType: "text/plain", Metadata: map[string]string{"colour": "red"}})
	put("a", "two", 3, object.Put{Once: true})
	put("b/c", "", 0, object.Put{Once: true})
	put("b/c", "more", 4, object.Put{})
	put("b/short", "1234", 5, object.Put{})
	for _, key := range []string{"a", "b/c", "b", "none"} {
		i, err := s.Stat(ctx, "pdfmill", folder+key)
		tell("stat "+key, i, err)
		body, i, err := s.Get(ctx, "pdfmill", folder+key)
		tell("get "+key, i, err)
		if err == nil {
			content, err := io.ReadAll(body)
			_, _ = fmt.Fprintf(&out, "%s %v %v\n", content, err, body.Close())
		}
	}
	for _, prefix := range []string{folder, folder + "b", folder + "none"} {
		for i, err := range s.List(ctx, "pdfmill", prefix) {
			tell("list", i, err)
		}
	}
	_, err := s.Put(ctx, "inbox", folder+"a", strings.NewReader("x"), 1, object.Put{})
	tell("not ours", object.Info{}, err)
	tell("delete", object.Info{}, s.Delete(ctx, "inbox", folder+"a"))
	return out.String()
}
