package embedded_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/pdfmill/pdfmill/embedded"
)

func TestAccountsHaveOnlyTheirGrants(t *testing.T) {
	s := startS3(t, s3Config(t.TempDir(), embedded.Relaxed, (&puts{}).announce))
	root, user := client(t, s.URL(), "root"), client(t, s.URL(), "user")
	mustPut(t, root, "pdfmill", "jobs/x/document.md", "# x")
	mustPut(t, root, "private", "a.pdf", "secret")
	if got := get(t, user, "pdfmill", "jobs/x/document.md"); got != "# x" {
		t.Errorf("read %q", got)
	}
	if got := list(t, user, "pdfmill", ""); got != "jobs/x/document.md" {
		t.Errorf("listed %q", got)
	}
	ctx := t.Context()
	denied := map[string]func() error{
		"write where it may read": func() error { return put(t, user, "pdfmill", "jobs/x/document.md", "evil", minio.PutObjectOptions{}) },
		"delete where it may read": func() error {
			return user.RemoveObject(ctx, "pdfmill", "jobs/x/document.md", minio.RemoveObjectOptions{})
		},
		"copy to where it may read": func() error {
			_, err := user.CopyObject(ctx, minio.CopyDestOptions{Bucket: "pdfmill", Object: "b"}, minio.CopySrcOptions{Bucket: "pdfmill", Object: "jobs/x/document.md"})
			return err
		},
		"upload in parts where it may read": func() error {
			_, err := minio.Core{Client: user}.NewMultipartUpload(ctx, "pdfmill", "b", minio.PutObjectOptions{})
			return err
		},
		"read without a grant": func() error {
			_, err := user.StatObject(ctx, "private", "a.pdf", minio.StatObjectOptions{})
			return err
		},
		"write without a grant": func() error { return put(t, user, "private", "b.pdf", "evil", minio.PutObjectOptions{}) },
		"list without a grant": func() error {
			for o := range user.ListObjects(ctx, "private", minio.ListObjectsOptions{}) {
				return o.Err
			}
			return nil
		},
		"copy from without a grant": func() error {
			_, err := user.CopyObject(ctx, minio.CopyDestOptions{Bucket: "inbox", Object: "b"}, minio.CopySrcOptions{Bucket: "private", Object: "a.pdf"})
			return err
		},
		"make a bucket":   func() error { return user.MakeBucket(ctx, "another", minio.MakeBucketOptions{}) },
		"remove a bucket": func() error { return user.RemoveBucket(ctx, "inbox") },
		"grant itself more": func() error {
			return user.SetBucketPolicy(ctx, "inbox", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["user"]},"Action":["s3:*"],"Resource":["arn:aws:s3:::inbox/*"]}]}`)
		},
	}
	for what, try := range denied {
		if err := try(); code(err) != "AccessDenied" && minio.ToErrorResponse(err).StatusCode != http.StatusForbidden {
			t.Errorf("%s: %v, want access denied", what, err)
		}
	}
	if err := put(t, client(t, s.URL(), "stranger"), "inbox", "a.pdf", "a", minio.PutObjectOptions{}); code(err) != "InvalidAccessKeyId" {
		t.Errorf("a stranger writes: %v", err)
	}
	if got := list(t, root, "pdfmill", "") + list(t, root, "private", "") + list(t, root, "inbox", ""); got != "jobs/x/document.mda.pdf" {
		t.Errorf("afterwards there are %q", got)
	}
}

// A service reads and writes where it has to, and nowhere else in the same bucket.
func TestGrantsEndWithTheirPrefix(t *testing.T) {
	s := startS3(t, s3Config(t.TempDir(), embedded.Relaxed, (&puts{}).announce))
	root, service := client(t, s.URL(), "root"), client(t, s.URL(), "service")
	mustPut(t, root, "pdfmill", "source/a.pdf", "a")
	mustPut(t, root, "pdfmill", "other/a.pdf", "a")
	mustPut(t, service, "pdfmill", "jobs/x/result.json", "{}")
	mustPut(t, service, "pdfmill", "jobs/x/result.json", "{1}") // over its own
	if got := get(t, service, "pdfmill", "source/a.pdf"); got != "a" {
		t.Errorf("read %q", got)
	}
	if _, err := service.StatObject(t.Context(), "pdfmill", "jobs/none", minio.StatObjectOptions{}); code(err) != "NoSuchKey" {
		t.Errorf("what is not there: %v", err)
	}
	for what, try := range map[string]func() error{
		"write where it only reads": func() error { return put(t, service, "pdfmill", "source/a.pdf", "evil", minio.PutObjectOptions{}) },
		"write elsewhere":           func() error { return put(t, service, "pdfmill", "jobsx", "evil", minio.PutObjectOptions{}) },
		"read elsewhere": func() error {
			_, err := service.StatObject(t.Context(), "pdfmill", "other/a.pdf", minio.StatObjectOptions{})
			return err
		},
		"delete its own": func() error {
			return service.RemoveObject(t.Context(), "pdfmill", "jobs/x/result.json", minio.RemoveObjectOptions{})
		},
	} {
		if err := try(); code(err) != "AccessDenied" && minio.ToErrorResponse(err).StatusCode != http.StatusForbidden {
			t.Errorf("%s: %v, want access denied", what, err)
		}
	}
}

// Paths that leave the bucket would go round its policy.
func TestAKeyCanNotLeaveItsBucket(t *testing.T) {
	dir := t.TempDir()
	s := startS3(t, s3Config(filepath.Join(dir, "s3"), embedded.Relaxed, (&puts{}).announce))
	root, user := client(t, s.URL(), "root"), client(t, s.URL(), "user")
	mustPut(t, root, "private", "a.pdf", "secret")
	for path, want := range map[string]int{
		"inbox/b.pdf": http.StatusOK, "inbox/../private/b.pdf": http.StatusBadRequest, "inbox/x/../../private/b.pdf": http.StatusBadRequest,
		"inbox/..%2Fprivate%2Fb.pdf": http.StatusBadRequest, "inbox/%2e%2e/private/b.pdf": http.StatusBadRequest, "inbox/../../b.pdf": http.StatusBadRequest,
	} {
		// Signed by hand: a client would tidy the path.
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL()+"/"+path, strings.NewReader("evil"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		response, err := http.DefaultClient.Do(signer.SignV4(*request, "user", "usersecret", "", "us-east-1"))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("put %s: %s, want %d", path, response.Status, want)
		}
	}
	if _, err := user.CopyObject(t.Context(), minio.CopyDestOptions{Bucket: "inbox", Object: "b"}, minio.CopySrcOptions{Bucket: "inbox", Object: "../private/a.pdf"}); err == nil {
		t.Errorf("copied from another bucket: %q", get(t, user, "inbox", "b"))
	}
	if got := list(t, root, "private", ""); got != "a.pdf" {
		t.Errorf("the other bucket has %q", got)
	}
	for _, outside := range []string{filepath.Join(dir, "b.pdf"), filepath.Join(dir, "s3", "b.pdf")} {
		if _, err := os.Stat(outside); err == nil {
			t.Errorf("%s was written", outside)
		}
	}
}

func TestGrantsAreThoseOfTheLastStart(t *testing.T) {
	config := s3Config(t.TempDir(), embedded.Relaxed, (&puts{}).announce)
	s, err := embedded.StartS3(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, client(t, s.URL(), "user"), "inbox", "a.pdf", "x")
	stop(t, s.Stop)
	config.Accounts[2].Grants = nil
	user := client(t, startS3(t, config).URL(), "user")
	if err := put(t, user, "inbox", "b.pdf", "x", minio.PutObjectOptions{}); code(err) != "AccessDenied" {
		t.Errorf("without grants it writes: %v", err)
	}
}
