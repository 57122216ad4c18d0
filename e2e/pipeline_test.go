package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// bothModes runs a scenario over the all-in-one and over separate processes with stock servers.
func bothModes(t *testing.T, scenario func(t *testing.T, mode rig.Mode)) {
	t.Helper()
	for _, mode := range rig.Modes() {
		t.Run(mode.Name, func(t *testing.T) { scenario(t, mode) })
	}
}

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

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// unique is a PDF with the bytes of content and an end of its own, so that it is a document nobody has seen.
func unique(content []byte, n int) []byte {
	return append(bytes.Clone(content), fmt.Appendf(nil, "\n%% copy %d\n", n)...)
}

// TestStockClients drops with plain minio-go and by copying a file, and reads events and products with plain clients.
func TestStockClients(t *testing.T) {
	bothModes(t, func(t *testing.T, mode rig.Mode) {
		p := mode.Start(t, t.TempDir())
		nc := p.NATS()
		events := rig.Subscribe(t, nc)
		live, err := nc.SubscribeSync("pdf.converted") // without JetStream, as `nats sub` does
		if err != nil {
			t.Fatal(err)
		}
		content := read(t, samples(t)[0])

		p.Put("by/s3 ü.pdf", content, map[string]string{"pdfmill-correlation-id": "order-66"})
		byS3 := events.Await(p.InboxBucket+"/by/s3 ü.pdf", 1)
		if byS3.Subject != "pdf.converted" || byS3.Body["correlation_id"] != "order-66" {
			t.Fatalf("event %s", byS3.Raw)
		}
		if m, err := live.NextMsg(pipelinetest.Patience); err != nil || !bytes.Equal(m.Data, byS3.Raw) {
			t.Errorf("a plain subscription: %v", err)
		}
		markdown := byS3.Body["markdown"].(map[string]any)
		object, err := p.S3().GetObject(t.Context(), markdown["bucket"].(string), markdown["key"].(string), minio.GetObjectOptions{})
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

		write(t, filepath.Join(p.InboxDir, "copied.pdf"), content)
		copied := events.Await(p.InboxBucket+"/copied.pdf", 1)
		if copied.Subject != "pdf.converted" || copied.Body["cached"] != true || copied.Body["job"] != byS3.Body["job"] || copied.ID == byS3.ID {
			t.Errorf("the same document under another name: %s", copied.Raw)
		}

		p.Put("not.pdf", []byte("<html>404 not found</html>"), nil)
		failed := events.Await(p.InboxBucket+"/not.pdf", 1)
		if failed.Subject != "pdf.failed" || failed.Body["class"] != "not-pdf" || failed.Body["stage"] != "validator" {
			t.Errorf("a web page: %s", failed.Raw)
		}
		p.Put("wish.pdf", content, map[string]string{"pdfmill-engine": "magic"})
		wish := events.Await(p.InboxBucket+"/wish.pdf", 1)
		if wish.Subject != "pdf.failed" || !strings.Contains(wish.Body["message"].(string), "magic") {
			t.Errorf("an invalid option: %s", wish.Raw)
		}
		p.Stop(10 * time.Second)
	})
}

// TestKilledInTheMiddle: 50 documents, kill -9 of everything, start again: each document ends in exactly one event.
func TestKilledInTheMiddle(t *testing.T) {
	bothModes(t, func(t *testing.T, mode rig.Mode) {
		data := t.TempDir()
		p := mode.Start(t, data)
		files := samples(t)
		const n = 50
		first := rig.Subscribe(t, p.NATS())
		for i := range n {
			p.Put(fmt.Sprintf("doc-%02d.pdf", i), unique(read(t, files[i%len(files)]), i), nil)
		}
		pipelinetest.Eventually(t, "a few documents are done", func() bool { return len(first.All()) >= 3 })
		p.Kill()
		before := len(first.All())
		if before == n {
			t.Fatal("everything was done before the kill, so that it proves nothing")
		}

		p = mode.Start(t, data)
		events := rig.Subscribe(t, p.NATS())
		for i := range n {
			events.Await(fmt.Sprintf("%s/doc-%02d.pdf", p.InboxBucket, i), 1)
		}
		p.Idle()
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
	})
}

// TestReplay: what failed is listed, explained, replayed after the cause is gone, and then converts as if nothing had happened.
func TestReplay(t *testing.T) {
	bothModes(t, func(t *testing.T, mode rig.Mode) {
		p := mode.Start(t, t.TempDir())
		events := rig.Subscribe(t, p.NATS())
		p.Put("wish.pdf", read(t, samples(t)[0]), map[string]string{"pdfmill-engine": "marker"}) // nobody serves it here
		source := p.InboxBucket + "/wish.pdf"
		failed := events.Await(source, 1)
		if failed.Body["class"] != "engine-missing" {
			t.Fatalf("event %s", failed.Raw)
		}
		if list := p.Pdfmill("dead", "ls"); !strings.Contains(list, "wish.pdf") || !strings.Contains(list, "engine-missing") {
			t.Fatalf("dead ls: %s", list)
		}
		if groups := p.Pdfmill("dead", "ls", "--group"); !strings.Contains(groups, "engine-missing") {
			t.Errorf("dead ls --group: %s", groups)
		}
		id := failed.Body["dead_letter"].(map[string]any)["id"].(string)
		if shown := p.Pdfmill("dead", "show", id); !strings.Contains(shown, "engine-missing") || !strings.Contains(shown, "dead replay "+id) {
			t.Errorf("dead show: %s", shown)
		}
		if plan := p.Pdfmill("dead", "replay", id, "--dry-run"); !strings.Contains(plan, "1 of 1 documents would be replayed") {
			t.Errorf("dry run: %s", plan)
		}
		p.Pdfmill("dead", "replay", "--class", "engine-missing", "--set", "engine=text")
		again := events.Await(source, 2)
		if again.Subject != "pdf.converted" || again.ID == failed.ID {
			t.Fatalf("after the replay: %s", again.Raw)
		}
		if list := p.Pdfmill("dead", "ls"); strings.Contains(list, "wish.pdf") {
			t.Errorf("still open after a replay: %s", list)
		}
		if list := p.Pdfmill("dead", "ls", "--all"); !strings.Contains(list, "replayed") {
			t.Errorf("the replay left no trace: %s", list)
		}
		p.Pdfmill("dead", "drop", id, "--yes")
		for _, gone := range [][]string{{"dead", "show", id}, {"dead", "drop", id, "--yes"}, {"dead", "replay", id}} {
			if out := p.Run(gone...); out.Code != 1 || !strings.Contains(out.Stderr, "pdfmill dead ls --all") {
				t.Errorf("%q of what was dropped: exit %d, %s", gone, out.Code, out.Stderr)
			}
		}
		p.Pdfmill("reconvert", "--where", "source="+source)
		if third := events.Await(source, 3); third.Subject != "pdf.converted" || third.Body["revision"] != 2.0 {
			t.Errorf("converted again: %s", third.Raw)
		}
		if swept := p.Pdfmill("sweep", "--ranges-age", "1h", "--sources-age", "1h"); !strings.Contains(swept, "0 sources") {
			t.Errorf("what is young was swept: %s", swept)
		}
	})
}
