package e2e

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// TestPipelineBehindALeafNode: the streams are in the domain of a server that the services reach through a leaf node. It goes away, documents come, and it comes back.
func TestPipelineBehindALeafNode(t *testing.T) {
	p := rig.BehindLeaf(t, t.TempDir())
	nc, err := nats.Connect(p.NATSURL, nats.UserInfo(p.NATSUser, p.NATSPassword), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	events := rig.Subscribe(t, nc)
	ended := func(key, subject string) {
		t.Helper()
		pipelinetest.Within(t, 3*pipelinetest.Patience, key+" ends", func() bool { return len(events.Of("inbox/"+key)) > 0 })
		if all := events.Of("inbox/" + key); len(all) != 1 || all[0].Subject != subject {
			t.Errorf("%s: %+v, want one %s", key, all, subject)
		}
	}
	letter := read(t, "../samples/letter.pdf")
	p.Put("before.pdf", unique(letter, 1), nil)
	p.Put("broken.pdf", []byte("<html>no PDF</html>"), nil)
	ended("before.pdf", "pdf.converted")
	ended("broken.pdf", "pdf.failed")

	p.KillHub()
	p.Put("meanwhile.pdf", unique(letter, 2), nil)
	p.StartHub()
	ended("meanwhile.pdf", "pdf.converted")
	p.Idle()
	p.Stop(time.Minute)
}
