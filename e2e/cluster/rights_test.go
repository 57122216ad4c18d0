//go:build cluster

package cluster

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/pdfmill/pdfmill/e2e/checker"
)

// places in the store that somebody may want something of.
var places = map[string][2]string{
	"inbox": {"inbox", "doc.pdf"}, "team-a": {"shared", "team-a/doc.pdf"}, "team-b": {"shared", "team-b/doc.pdf"},
	"source": {"pdfmill", "source/x.pdf"}, "job": {"pdfmill", "jobs/x/document.md"}, "other": {"pdfmill", "other"}, "foreign": {"foreign", "doc.pdf"},
}

// wishes are what somebody may do there.
var wishes = map[string]func(ctx context.Context, s3 *minio.Client, bucket, key string) error{
	"read": func(ctx context.Context, s3 *minio.Client, bucket, key string) error {
		o, err := s3.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer o.Close()
		_, err = io.ReadAll(o)
		return err
	},
	"write": func(ctx context.Context, s3 *minio.Client, bucket, key string) error {
		_, err := s3.PutObject(ctx, bucket, key, strings.NewReader("x"), 1, minio.PutObjectOptions{})
		return err
	},
	"delete": func(ctx context.Context, s3 *minio.Client, bucket, key string) error {
		return s3.RemoveObject(ctx, bucket, key, minio.RemoveObjectOptions{})
	},
	"list": func(ctx context.Context, s3 *minio.Client, bucket, _ string) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for o := range s3.ListObjects(ctx, bucket, minio.ListObjectsOptions{}) {
			return o.Err
		}
		return nil
	},
	"govern": func(ctx context.Context, s3 *minio.Client, bucket, _ string) error {
		return s3.SetBucketPolicy(ctx, bucket, "")
	},
	"erase": func(ctx context.Context, s3 *minio.Client, bucket, _ string) error {
		return s3.RemoveBucket(ctx, bucket)
	},
}

// refusedTo tries what each role must not do, with the role's own keys: MinIO refuses it.
func (l *load) refusedTo(t *testing.T) {
	rights := map[string][]string{
		"ingest":     {"read inbox", "list inbox", "read team-a", "list team-a", "list team-b", "read source", "write source", "list source", "list job", "list other"},
		"validator":  {"read source", "write source", "read job", "write job", "list source", "list job", "list other"},
		"gpu-runner": {"read source", "read job", "write job", "list source", "list job", "list other"},
		"publisher":  {"read job", "write job", "delete job", "read source", "delete source", "list source", "list job", "list other"},
		"user": {
			"read inbox", "write inbox", "delete inbox", "list inbox", "read team-a", "write team-a", "delete team-a", "list team-a", "list team-b",
			"read job", "list source", "list job", "list other",
		},
		"operator": {
			"read inbox", "write inbox", "delete inbox", "list inbox", "read team-a", "write team-a", "delete team-a", "list team-a", "list team-b",
			"read source", "delete source", "read job", "write job", "delete job", "read other", "list source", "list job", "list other",
		},
	}
	if err := l.s3.MakeBucket(t.Context(), "foreign", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, at := range places {
			if err := l.s3.RemoveObject(context.Background(), at[0], at[1], minio.RemoveObjectOptions{}); err != nil {
				t.Error(err)
			}
		}
	}()
	for role, may := range rights {
		client := l.client(role)
		for place, at := range places {
			for wish, do := range wishes {
				// What is asked for is there, so that nothing but the rights refuses it.
				if _, err := l.s3.PutObject(t.Context(), at[0], at[1], bytes.NewReader(nil), 0, minio.PutObjectOptions{}); err != nil {
					t.Fatal(err)
				}
				err := do(t.Context(), client, at[0], at[1])
				if err != nil && minio.ToErrorResponse(err).Code != "AccessDenied" {
					t.Errorf("%s, %s %s: %v", role, wish, place, err)
				}
				if allowed := slices.Contains(may, wish+" "+place); allowed != (err == nil) {
					t.Errorf("%s, %s %s: allowed %t, want %t", role, wish, place, err == nil, allowed)
				}
			}
		}
	}
}

// encrypted looks at what services have stored so far: each as its host was told to ask for, and in both ways. The host that asks for the store's own key has temporary
// credentials, and none but those.
func (l *load) encrypted(t *testing.T) {
	l.some(8)
	l.settle()
	objects, err := checker.List(t.Context(), l.s3, checker.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	ways := map[string]int{}
	for key := range objects {
		about, err := l.s3.StatObject(t.Context(), checker.Bucket, key, minio.StatObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ways[about.Metadata.Get("X-Amz-Server-Side-Encryption")]++
	}
	if ways["aws:kms"] == 0 || ways["AES256"] == 0 || len(ways) != 2 {
		t.Errorf("objects by their encryption: %v", ways)
	}
}
