package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// pages is a PDF with a page of each width, in points, that says its number.
func pages(t *testing.T, widths ...int) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n3 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\n")
	kids := ""
	for i, width := range widths {
		text := fmt.Sprintf("BT /F1 12 Tf 20 50 Td (This is page %d of a test) Tj ET", i+1)
		fmt.Fprintf(&b, "%d 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 %d 200]/Contents %d 0 R/Resources<</Font<</F1 3 0 R>>>>>>endobj\n", 10+2*i, width, 11+2*i)
		fmt.Fprintf(&b, "%d 0 obj<</Length %d>>stream\n%s\nendstream endobj\n", 11+2*i, len(text), text)
		kids += fmt.Sprintf("%d 0 R ", 10+2*i)
	}
	fmt.Fprintf(&b, "2 0 obj<</Type/Pages/Kids[%s]/Count %d>>endobj\ntrailer<</Root 1 0 R/Size %d>>\n%%%%EOF\n", kids, len(widths), 12+2*len(widths))
	return b.Bytes()
}

func fetch(t *testing.T, p *rig.Pipeline, bucket, key string) []byte {
	t.Helper()
	object, err := p.S3().GetObject(t.Context(), bucket, key, minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(object)
	if err != nil {
		t.Fatalf("%s/%s: %v", bucket, key, err)
	}
	return content
}

// manifestOf is the manifest of what an event says was converted.
func manifestOf(t *testing.T, p *rig.Pipeline, e rig.Event, into any) (bucket string) {
	t.Helper()
	markdown, ok := e.Body["markdown"].(map[string]any)
	if !ok {
		t.Fatalf("event %s", e.Raw)
	}
	bucket, key := markdown["bucket"].(string), markdown["key"].(string)
	content := fetch(t, p, bucket, strings.TrimSuffix(key, "document.md")+"manifest.json")
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatalf("manifest: %v: %s", err, content)
	}
	return bucket
}

func sum(content []byte) string {
	hash := sha256.Sum256(content)
	return hex.EncodeToString(hash[:])
}

// TestADamagedDocumentIsRepaired: under the policy safe it is converted, the manifest says so, and the original is kept beside the repaired copy; also when
// it is encrypted as well.
func TestADamagedDocumentIsRepaired(t *testing.T) {
	t.Setenv("PDFMILL_SECRET_LETTERS", "not this one\nopen sesame")
	dir := t.TempDir()
	plain, locked := filepath.Join(dir, "plain.pdf"), filepath.Join(dir, "locked.pdf")
	write(t, filepath.Join(dir, "raw.pdf"), pages(t, 300, 300))
	for _, args := range [][]string{
		{"--warning-exit-0", "--object-streams=disable", filepath.Join(dir, "raw.pdf"), plain},
		{"--warning-exit-0", "--object-streams=disable", "--encrypt", "open sesame", "owner", "256", "--", plain, locked},
	} {
		if out, err := exec.CommandContext(t.Context(), "qpdf", args...).CombinedOutput(); err != nil {
			t.Fatalf("qpdf: %v\n%s", err, out)
		}
	}
	p := rig.Up(t, filepath.Join(dir, "data"), "--repair", "safe")
	events := rig.Subscribe(t, p.NATS())
	for name, damaged := range map[string][]byte{
		"tail.pdf":   read(t, plain)[:bytes.LastIndex(read(t, plain), []byte("xref\n0"))],
		"locked.pdf": append(bytes.Repeat([]byte("\n"), 5000), read(t, locked)...),
	} {
		p.Put(name, damaged, map[string]string{"pdfmill-password-ref": "letters"})
		e := events.Await(p.InboxBucket+"/"+name, 1)
		if e.Subject != "pdf.converted" || e.Body["pages"] != 2.0 {
			t.Errorf("%s: %s", name, e.Raw)
			continue
		}
		var m struct {
			Source struct{ SHA256 string }
			Facts  struct {
				Repair struct{ Tool, Reason, SHA256, Key string }
			}
		}
		bucket := manifestOf(t, p, e, &m)
		r := m.Facts.Repair
		if m.Source.SHA256 != sum(damaged) || !strings.HasPrefix(r.Tool, "qpdf ") || r.Reason == "" || r.SHA256 == m.Source.SHA256 {
			t.Errorf("%s: manifest %+v", name, m)
		}
		store := filepath.Join(dir, "data", "s3", bucket) // its users may not read documents
		if !bytes.Equal(read(t, filepath.Join(store, "source", m.Source.SHA256+".pdf")), damaged) {
			t.Errorf("%s: the original is not kept", name)
		}
		repaired := read(t, filepath.Join(store, r.Key))
		if sum(repaired) != r.SHA256 {
			t.Errorf("%s: the repaired copy is not what the manifest says", name)
		}
		if name == "locked.pdf" && !bytes.Contains(repaired, []byte("/Encrypt")) {
			t.Error("what was encrypted is stored without encryption")
		}
	}
}

// TestPagesLostAtTheValidatorAreReplayed: they have a dead letter, which the failure of their document points at; replayed with other limits, it is complete.
func TestPagesLostAtTheValidatorAreReplayed(t *testing.T) {
	data := t.TempDir()
	p := rig.Up(t, data, "--max-page-points", "500", "--incomplete", "failed")
	events := rig.Subscribe(t, p.NATS())
	p.Put("wide.pdf", pages(t, 900, 300, 900), nil)
	source := p.InboxBucket + "/wide.pdf"
	failed := events.Await(source, 1)
	letter, ok := failed.Body["dead_letter"].(map[string]any)
	if failed.Subject != "pdf.failed" || failed.Body["class"] != "limit-page-size" || !ok {
		t.Fatalf("event %s", failed.Raw)
	}
	id := letter["id"].(string)
	if shown := p.Pdfmill("dead", "show", id); !strings.Contains(shown, "page 1 can't go on") || !strings.Contains(shown, "900") || !strings.Contains(shown, "1 more page") {
		t.Errorf("dead show: %s", shown)
	}
	p.Stop(10 * time.Second)

	p = rig.Up(t, data)
	events = rig.Subscribe(t, p.NATS())
	p.Pdfmill("dead", "replay", id)
	again := events.Await(source, 2)
	if again.Subject != "pdf.converted" || again.Body["converted_pages"] != 3.0 {
		t.Fatalf("after the replay: %s", again.Raw)
	}
	if list := p.Pdfmill("dead", "ls"); strings.Contains(list, "wide.pdf") {
		t.Errorf("still open after a replay: %s", list)
	}
}

// TestTheFirstPageHasAPicture: a small one, which the manifest names.
func TestTheFirstPageHasAPicture(t *testing.T) {
	p := rig.Up(t, t.TempDir())
	events := rig.Subscribe(t, p.NATS())
	p.Put("report.pdf", read(t, samples(t)[0]), nil)
	var m struct {
		Thumbnail struct {
			Key   string
			Bytes int
		}
	}
	bucket := manifestOf(t, p, events.Await(p.InboxBucket+"/report.pdf", 1), &m)
	content := fetch(t, p, bucket, m.Thumbnail.Key)
	picture, err := png.Decode(bytes.NewReader(content))
	if err != nil || len(content) != m.Thumbnail.Bytes || len(content) > 1<<20 {
		t.Fatalf("%d bytes of picture, manifest %+v: %v", len(content), m, err)
	}
	if size := picture.Bounds().Size(); max(size.X, size.Y) != 320 {
		t.Errorf("the picture is %v", size)
	}
}
