package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// TestDocumentsWaitForWhoHasTheLabels: what a document needs decides which gpu-runner takes it. While there is none it waits, is seen to wait, and holds up nobody.
func TestDocumentsWaitForWhoHasTheLabels(t *testing.T) {
	t.Setenv("PDFMILL_ENGINES", "text,text@region=eu,text@region=us")
	t.Setenv("PDFMILL_SOURCE_NEEDS", "inbox/american=region=us")
	p := rig.Apart(t, t.TempDir())
	events := rig.Subscribe(t, p.NATS())
	letter := read(t, "../samples/letter.pdf")
	p.Put("eu.pdf", unique(letter, 1), map[string]string{"pdfmill-needs": "region=eu"})
	p.Put("american/us.pdf", unique(letter, 2), nil)
	const european, american = "gpu-runner-text@region=eu-bulk", "gpu-runner-text@region=us-bulk"
	pipelinetest.Eventually(t, "both wait, and nobody takes them", func() bool {
		var o struct {
			Queues map[string]struct {
				Waiting  int
				Unserved bool
			}
		}
		if err := json.Unmarshal([]byte(p.Pdfmill("status", "--json")), &o); err != nil {
			t.Fatal(err)
		}
		e, a := o.Queues[european], o.Queues[american]
		return e.Waiting == 1 && e.Unserved && a.Waiting == 1 && a.Unserved
	})
	if out := p.Pdfmill("status"); !strings.Contains(out, "no gpu-runner takes these") {
		t.Errorf("status: %s", out)
	}
	p.Put("anywhere.pdf", unique(letter, 3), nil)
	if e := events.Await("inbox/anywhere.pdf", 1); e.Subject != "pdf.converted" {
		t.Errorf("%s", e.Raw)
	}
	p.Put("nowhere.pdf", unique(letter, 4), map[string]string{"pdfmill-needs": "region=mars"})
	if e := events.Await("inbox/nowhere.pdf", 1); e.Subject != "pdf.failed" || e.Body["class"] != "engine-missing" || !strings.Contains(e.Body["message"].(string), "region=mars") {
		t.Errorf("%s", e.Raw)
	}
	if n := len(events.Of("inbox/eu.pdf")) + len(events.Of("inbox/american/us.pdf")); n != 0 {
		t.Errorf("%d events of documents that nobody may convert", n)
	}

	p.Service("gpu-runner", "--label", "region=eu")
	if e := events.Await("inbox/eu.pdf", 1); e.Subject != "pdf.converted" {
		t.Errorf("%s", e.Raw)
	}
	if n := len(events.Of("inbox/american/us.pdf")); n != 0 {
		t.Errorf("a European machine took what is American")
	}
	p.Service("gpu-runner", "--label", "region=us")
	if e := events.Await("inbox/american/us.pdf", 1); e.Subject != "pdf.converted" {
		t.Errorf("%s", e.Raw)
	}
}
