package job_test

import (
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/job"
)

func FuzzOptions(f *testing.F) {
	f.Add("pdfmill-pages", "1-3", "pdfmill-engine", "text")
	f.Add("pdfmill-password-ref", "../x", "pdfmill-timeout", "-1s")
	f.Add("Pdfmill-Images", "no", "pdfmill-correlation-id", "x")
	f.Fuzz(func(t *testing.T, key1, value1, key2, value2 string) {
		o, _, err := job.FromMetadata(map[string]string{key1: value1, key2: value2})
		if err != nil {
			return
		}
		if o.Engine == "" || o.Output == "" || o.Priority == "" || o.Timeout < 0 || o.Timeout > job.MaxTimeout.Seconds() || len(o.PasswordRef) > 64 {
			t.Fatalf("accepted %+v", o)
		}
	})
}
