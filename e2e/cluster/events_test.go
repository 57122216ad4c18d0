//go:build cluster

package cluster

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/pdfmill/pdfmill/e2e/checker"
	"github.com/pdfmill/pdfmill/e2e/rig"
)

// told has MinIO tell of drops while nobody lists, by its NATS target, as docs/cluster.md configures it.
func (l *load) told(t *testing.T) {
	l.ingestWith("PDFMILL_SCAN_INTERVAL=1h")
	said := make(chan *nats.Msg, 64)
	sub, err := l.js.Conn().ChanSubscribe("pdf.dropped", said)
	if err != nil {
		t.Fatal(err)
	}
	l.drop("inbox", "told/by its target+ä.pdf", rig.Document(l.samples, 91_000))
	l.until("MinIO tells of it", func() bool {
		select {
		case m := <-said:
			var event struct {
				Key     string
				Records []struct {
					EventSource string `json:"eventSource"`
				}
			}
			if err := json.Unmarshal(m.Data, &event); err != nil || len(event.Records) != 1 || event.Records[0].EventSource != "minio:s3" {
				t.Errorf("the event is %s", m.Data)
			}
			return event.Key == "inbox/told/by its target+ä.pdf"
		default:
			return false
		}
	})
	if err := sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	l.ended("inbox/told/by its target+ä.pdf")

	l.ingestWith()
}

// ingestWith starts both replicas of ingest anew, with more in their environment, and waits until each has listed once, or has seen the other do so.
func (l *load) ingestWith(env ...string) {
	l.t.Helper()
	for i, p := range l.running["ingest"] {
		p.Stop(time.Minute)
		l.more["ingest"] = env
		l.start("ingest", i)
	}
	l.more["ingest"] = nil
	l.ready()
}

// ended waits until a drop has ended.
func (l *load) ended(source string) {
	l.t.Helper()
	l.until(source+" ends", func() bool {
		ends, err := checker.Endings(l.t.Context(), l.js)
		return err == nil && ends[source] > 0
	})
}
