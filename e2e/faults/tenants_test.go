package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/e2e/checker"
	"github.com/pdfmill/pdfmill/e2e/rig"
)

// TestTheNextDay: what is beyond a quota of bytes waits while others' documents are converted, counts once when everything was killed meanwhile, and goes on when the
// clocks of all processes are a day ahead, up to the quota of that day.
func TestTheNextDay(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	sample := rig.Samples(t)[:1]
	size := len(rig.Document(sample, 0)) // of each of ten
	c.declare("acme", fmt.Sprintf(`, "bytes": %d`, 3*size/2))
	for i := range 6 {
		c.drop(fmt.Sprintf("acme/doc-%d.pdf", i), rig.Document(sample, i))
	}
	for i := 6; i < 8; i++ {
		c.drop(fmt.Sprintf("doc-%d.pdf", i), rig.Document(sample, i))
	}
	stands := func(ended int, waiting uint64) {
		t.Helper()
		c.until(fmt.Sprintf("%d documents have ended and %d wait", ended, waiting), func() bool {
			ends, err := checker.Endings(t.Context(), c.js)
			if err != nil {
				t.Fatal(err)
			}
			jobs, err := c.js.Stream(t.Context(), "PDF_JOBS")
			if err != nil {
				t.Fatal(err)
			}
			info, err := jobs.Info(t.Context(), jetstream.WithSubjectFilter("pdf.dropped.tenant-acme"))
			if err != nil {
				t.Fatal(err)
			}
			return len(ends) == ended && info.State.Subjects["pdf.dropped.tenant-acme"] == waiting && info.State.Msgs == waiting
		})
	}
	stands(4, 4)
	for _, s := range services {
		c.replica(s, 0).kill()
		c.caused(s + " killed")
	}
	c.nats.kill()
	c.caused("nats killed")
	c.startNATS()
	for _, s := range services {
		c.start(s, 0, "")
	}
	c.drop("doc-8.pdf", rig.Document(sample, 8)) // nobody tells of it: whoever takes it has looked through the inbox
	stands(5, 4)
	ahead := func(days int) {
		t.Helper()
		for _, kind := range append([]string{"nats", "s3"}, services...) {
			c.weather(kind, time.Duration(days)*24*time.Hour, 0)
		}
	}
	ahead(1)
	c.caused("a day")
	stands(7, 2)
	ahead(2)
	c.caused("a day")
	stands(9, 0)
	ahead(0) // elsewhere the store would take nothing from the checker
	c.settle()
	if v := c.verify("a tenant's quota over three days"); v.Failed > 0 {
		t.Errorf("%+v", v)
	}
	days := c.verifyCounts("acme")
	for day, counts := range days {
		if counts.Documents != 2 || counts.Bytes != int64(2*size) {
			t.Errorf("on %s %+v counts", day, counts)
		}
	}
	if len(days) != 3 {
		t.Errorf("it counts on %d days", len(days))
	}
}
