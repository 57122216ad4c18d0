package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// samples are the PDFs that the README's quickstart converts.
func samples(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("../samples/*.pdf")
	if err != nil || len(found) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	return found
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func put(t *testing.T, d *rig.Daemon, key string, content []byte, metadata map[string]string) {
	t.Helper()
	_, err := d.S3().PutObject(t.Context(), d.InboxBucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{UserMetadata: metadata})
	if err != nil {
		t.Fatal(err)
	}
}

// unique is a PDF with the bytes of content and an end of its own, so that it is a document nobody has seen.
func unique(content []byte, n int) []byte {
	return append(bytes.Clone(content), fmt.Appendf(nil, "\n%% copy %d\n", n)...)
}

// TestStockClients drops with plain minio-go and by copying a file, and reads events and products with plain clients.
func TestStockClients(t *testing.T) {
	d := rig.Up(t, t.TempDir())
	events := rig.Subscribe(t, d.NATS())
	content := read(t, samples(t)[0])

	put(t, d, "by/s3 ü.pdf", content, map[string]string{"pdfmill-correlation-id": "order-66"})
	byS3 := events.Await(d.InboxBucket+"/by/s3 ü.pdf", 1)
	if byS3.Subject != "pdf.converted" || byS3.Type != "pdfmill.pdf.converted.v1" || byS3.ID == "" || byS3.Body["correlation_id"] != "order-66" {
		t.Fatalf("event %+v", byS3)
	}
	markdown := byS3.Body["markdown"].(map[string]any)
	object, err := d.S3().GetObject(t.Context(), markdown["bucket"].(string), markdown["key"].(string), minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	product, err := io.ReadAll(object)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(product); hex.EncodeToString(sum[:]) != markdown["sha256"] || string(product) != markdown["inline"] {
		t.Error("the product is not what the event says")
	}

	if err := os.WriteFile(filepath.Join(d.InboxDir, "copied.pdf"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	copied := events.Await(d.InboxBucket+"/copied.pdf", 1)
	if copied.Subject != "pdf.converted" || copied.Body["cached"] != true || copied.Body["job"] != byS3.Body["job"] || copied.ID == byS3.ID {
		t.Errorf("the same document under another name: %s", copied.Raw)
	}

	put(t, d, "not.pdf", []byte("<html>404 not found</html>"), nil)
	failed := events.Await(d.InboxBucket+"/not.pdf", 1)
	if failed.Subject != "pdf.failed" || failed.Body["class"] != "not-pdf" || failed.Body["stage"] != "validator" {
		t.Errorf("a web page: %s", failed.Raw)
	}
	put(t, d, "wish.pdf", content, map[string]string{"pdfmill-engine": "magic"})
	wish := events.Await(d.InboxBucket+"/wish.pdf", 1)
	if wish.Subject != "pdf.failed" || !strings.Contains(wish.Body["message"].(string), "magic") {
		t.Errorf("an invalid option: %s", wish.Raw)
	}
	if code := d.Stop(10 * time.Second); code != 0 {
		t.Errorf("exit %d after SIGTERM\n%s", code, d.Log())
	}
}

// TestKilledInTheMiddle: 50 documents, kill -9, start again: each document ends in exactly one event.
func TestKilledInTheMiddle(t *testing.T) {
	data := t.TempDir()
	d := rig.Up(t, data)
	files := samples(t)
	const n = 50
	for i := range n {
		put(t, d, fmt.Sprintf("doc-%02d.pdf", i), unique(read(t, files[i%len(files)]), i), nil)
	}
	first := rig.Subscribe(t, d.NATS())
	pipelinetest.Eventually(t, "a few documents are done", func() bool { return len(first.All()) >= 3 })
	before := len(first.All())
	d.Kill()

	d = rig.Up(t, data)
	events := rig.Subscribe(t, d.NATS())
	for i := range n {
		events.Await(fmt.Sprintf("%s/doc-%02d.pdf", d.InboxBucket, i), 1)
	}
	emptied(t, d)
	for source, all := range events.All() {
		for _, e := range all[1:] {
			if e.ID != all[0].ID {
				t.Errorf("%s ended twice: %s and %s", source, all[0].ID, e.ID)
			}
		}
		if all[0].Subject != "pdf.converted" {
			t.Errorf("%s: %s", source, all[0].Raw)
		}
	}
	if len(events.All()) != n {
		t.Errorf("%d documents ended, want %d", len(events.All()), n)
	}
	t.Logf("killed after %d of %d", before, n)
}

// emptied waits until no work is queued, as the daemon's own metrics and status tell.
func emptied(t *testing.T, d *rig.Daemon) {
	t.Helper()
	pipelinetest.Eventually(t, "readyz answers", func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.HTTPURL+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// TestReplay: what failed is listed, explained, replayed after the cause is gone, and then converts as if nothing had happened.
func TestReplay(t *testing.T) {
	data := t.TempDir()
	d := rig.Up(t, data)
	events := rig.Subscribe(t, d.NATS())
	content := read(t, samples(t)[0])
	put(t, d, "wish.pdf", content, map[string]string{"pdfmill-engine": "marker"}) // nobody serves it here
	source := d.InboxBucket + "/wish.pdf"
	failed := events.Await(source, 1)
	if failed.Body["class"] != "engine-missing" {
		t.Fatalf("event %s", failed.Raw)
	}
	list := pdfmill(t, "dead", "ls", "--data", data)
	if !strings.Contains(list, "wish.pdf") || !strings.Contains(list, "engine-missing") {
		t.Fatalf("dead ls: %s", list)
	}
	id := failed.Body["dead_letter"].(map[string]any)["id"].(string)
	if shown := pdfmill(t, "dead", "show", id, "--data", data); !strings.Contains(shown, "engine-missing") {
		t.Errorf("dead show: %s", shown)
	}
	pdfmill(t, "dead", "replay", "--class", "engine-missing", "--set", "engine=text", "--data", data)
	again := events.Await(source, 2)
	if again.Subject != "pdf.converted" || again.ID == failed.ID {
		t.Fatalf("after the replay: %s", again.Raw)
	}
	if list := pdfmill(t, "dead", "ls", "--data", data); strings.Contains(list, "wish.pdf") {
		t.Errorf("still open after a replay: %s", list)
	}
}

func pdfmill(t *testing.T, args ...string) string {
	t.Helper()
	out := rig.Run(t, time.Minute, nil, args...)
	if out.Code != 0 {
		t.Fatalf("pdfmill %q: exit %d\n%s%s", args, out.Code, out.Stdout, out.Stderr)
	}
	return out.Stdout
}
