package embedded_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/pdfmill/pdfmill/embedded"
)

// p50 runs an operation and reports the median and the 99th percentile of its time in microseconds.
func p50(b *testing.B, operation func(i int) error) {
	b.Helper()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		begin := time.Now()
		if err := operation(i); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

func BenchmarkPut100KB(b *testing.B) {
	for _, d := range []embedded.Durability{embedded.Synced, embedded.Relaxed} {
		b.Run(string(d), func(b *testing.B) {
			c := client(b, startS3(b, s3Config(b.TempDir(), d, (&puts{}).announce)).URL(), "user")
			body := bytes.Repeat([]byte("x"), 100<<10)
			p50(b, func(i int) error {
				_, err := c.PutObject(b.Context(), "inbox", fmt.Sprintf("%d/a.pdf", i), bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{})
				return err
			})
		})
	}
}

func BenchmarkPublish512B(b *testing.B) {
	for _, d := range []embedded.Durability{embedded.Synced, embedded.Relaxed} {
		b.Run(string(d), func(b *testing.B) {
			j := js(b, dial(b, startNATS(b, natsConfig(b.TempDir(), d)).URL(), "root"))
			stream(b, j)
			body := bytes.Repeat([]byte("x"), 512)
			p50(b, func(int) error {
				_, err := j.Publish(b.Context(), "events.x", body)
				return err
			})
		})
	}
}
