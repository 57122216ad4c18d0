package embedded_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/pdfmill/pdfmill/embedded"
)

// waysOfWriting are all the ways to make an object "new.pdf" out of "from.pdf" and 16 MiB of data.
var waysOfWriting = map[string]func(ctx context.Context, c *minio.Client) error{
	"put": func(ctx context.Context, c *minio.Client) error {
		_, err := c.PutObject(ctx, "inbox", "new.pdf", strings.NewReader("body"), 4, minio.PutObjectOptions{UserMetadata: map[string]string{"pdfmill-pages": "1-2"}})
		return err
	},
	"multipart": func(ctx context.Context, c *minio.Client) error {
		_, err := c.PutObject(ctx, "inbox", "new.pdf", strings.NewReader(big), -1,
			minio.PutObjectOptions{PartSize: 5 << 20, UserMetadata: map[string]string{"pdfmill-pages": "1-2"}})
		return err
	},
	"copy": func(ctx context.Context, c *minio.Client) error {
		_, err := c.CopyObject(ctx, minio.CopyDestOptions{Bucket: "inbox", Object: "new.pdf", ReplaceMetadata: true, UserMetadata: map[string]string{"pdfmill-pages": "1-2"}},
			minio.CopySrcOptions{Bucket: "inbox", Object: "from.pdf"})
		return err
	},
}

var big = strings.Repeat("0123456789abcdef", 1<<20)

func TestEveryWayOfWritingIsAnnounced(t *testing.T) {
	for _, d := range []embedded.Durability{embedded.Synced, embedded.Relaxed} {
		for name, write := range waysOfWriting {
			t.Run(string(d)+"/"+name, func(t *testing.T) {
				seen := &puts{}
				s := startS3(t, s3Config(t.TempDir(), d, seen.announce))
				c := client(t, s.URL(), "user")
				mustPut(t, c, "inbox", "from.pdf", "body")
				if err := write(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if got := seen.keys(); got != "from.pdf new.pdf" {
					t.Fatalf("announced %q", got)
				}
				info, err := c.StatObject(t.Context(), "inbox", "new.pdf", minio.StatObjectOptions{})
				if err != nil {
					t.Fatal(err)
				}
				a := seen.last(t)
				if a.Bucket != "inbox" || a.ETag != info.ETag || a.ETag == "" || a.Size != info.Size || a.ModTime.Unix() != info.LastModified.Unix() || a.Metadata["pdfmill-pages"] != "1-2" {
					t.Errorf("announced %+v, stored %+v", a, info)
				}
				want := "body"
				if name == "multipart" {
					want = big
				}
				if get(t, c, "inbox", "new.pdf") != want {
					t.Error("it reads back otherwise")
				}
			})
		}
	}
}

func TestARefusedAnnouncementIsTheClientsError(t *testing.T) {
	for name, write := range waysOfWriting {
		t.Run(name, func(t *testing.T) {
			seen, text := &puts{}, &logged{}
			config := s3Config(t.TempDir(), embedded.Relaxed, seen.announce)
			config.Log = text.logger()
			c := client(t, startS3(t, config).URL(), "user")
			mustPut(t, c, "inbox", "from.pdf", "body")
			seen.refuse.Store(1000)
			if err := write(t.Context(), c); code(err) != "InternalError" {
				t.Errorf("with every announcement refused: %v", err)
			}
			if !strings.Contains(text.String(), "the stream is full") || !strings.Contains(text.String(), "new.pdf") {
				t.Errorf("the log does not say why:\n%s", text)
			}
			seen.refuse.Store(1)
			if err := write(t.Context(), c); err != nil {
				t.Errorf("the client did not try again: %v", err)
			}
			if got := seen.keys(); got != "from.pdf new.pdf" {
				t.Errorf("announced %q", got)
			}
		})
	}
}

func TestOtherBucketsAreNotAnnounced(t *testing.T) {
	seen := &puts{}
	s := startS3(t, s3Config(t.TempDir(), embedded.Relaxed, seen.announce))
	root := client(t, s.URL(), "root")
	mustPut(t, root, "pdfmill", "a.pdf", "x")
	mustPut(t, root, "inbox", "folder/", "")
	if got := seen.keys(); got != "" {
		t.Errorf("announced %q", got)
	}
}

func TestAnnouncedKeysAreThoseOfTheListing(t *testing.T) {
	seen := &puts{}
	s := startS3(t, s3Config(t.TempDir(), embedded.Relaxed, seen.announce))
	c := client(t, s.URL(), "user")
	mustPut(t, c, "inbox", "a//b.pdf", "x")
	if got, listed := seen.keys(), list(t, c, "inbox", ""); got != listed || got != "a/b.pdf" {
		t.Errorf("announced %q, listed %q", got, listed)
	}
}

// The gateway hands out strings that are views of its buffers: kept as they are, they change under load.
func TestAnnouncementsUnderLoadNameTheirOwnObjects(t *testing.T) {
	seen := &puts{}
	config := s3Config(t.TempDir(), embedded.Relaxed, seen.announce)
	config.AnnounceBuckets = config.Buckets
	c := client(t, startS3(t, config).URL(), "root")
	want := map[string]bool{}
	var group sync.WaitGroup
	for w := range 9 {
		bucket := config.Buckets[w%3]
		for i := range 50 {
			want[bucket+"/"+name(w, i)] = true
		}
		group.Go(func() {
			for i := range 50 {
				if err := put(t, c, bucket, name(w, i), "x", minio.PutObjectOptions{UserMetadata: map[string]string{"name": name(w, i)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for _, a := range seen.seen {
		if !want[a.Bucket+"/"+a.Key] || a.Metadata["name"] != a.Key {
			t.Errorf("announced %+v", a)
		}
		delete(want, a.Bucket+"/"+a.Key)
	}
	if len(want) > 0 {
		t.Errorf("not announced: %v", want)
	}
}

func name(w, i int) string { return strings.Repeat(string(rune('a'+w)), i+1) + ".pdf" }
