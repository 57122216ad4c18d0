//go:build cluster

package deploy

import (
	"testing"

	"github.com/minio/minio-go/v7/pkg/notification"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// TestWhatTheJobsSayRunsWithMinIO: MinIO is started as its job says, and knows the NATS servers that it is to tell of drops: a bucket can be told to.
func TestWhatTheJobsSayRunsWithMinIO(t *testing.T) {
	c := newCloud(t)
	c.node.Artifacts["https://releases.test/minio"] = rig.Server(t, "minio")
	d := usual
	d.store = "minio.nomad.hcl"
	c.runs(d, func() {
		told := notification.NewConfig(notification.NewArn("minio", "sqs", "", "PDFMILL", "nats"))
		told.AddEvents(notification.ObjectCreatedAll)
		var all notification.Configuration
		all.AddQueue(told)
		if err := c.store().SetBucketNotification(t.Context(), "inbox", all); err != nil {
			t.Errorf("the inbox can't be told to tell of drops: %v", err)
		}
	})
}
