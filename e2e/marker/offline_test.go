//go:build marker

package marker

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// Without network, `engines install --offline` says which weights are missing, all of them, where they should be and what to do; it asks nobody for them. With them it is content.
func TestOfflineNamesTheWeightsThatAreMissing(t *testing.T) {
	each(t, func(t *testing.T, p *plant) {
		var asked atomic.Int32
		hub := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
		t.Cleanup(hub.Close)
		args := []string{"engines", "install", p.name, "--offline", "--vlm", "none"}
		network := []string{"HF_ENDPOINT=" + hub.URL, "S3_BASE_URL=" + hub.URL}
		nothing := t.TempDir()
		out := rig.Command{Args: args, Env: append(network, "PDFMILL_MODELS="+nothing), Limit: patience}.Run(t)
		missing := map[string][]string{
			"marker":  {"hf://datalab-to/surya_layout2", "s3://ocr_error_detection/"},
			"marker1": {"s3://layout/", "s3://text_recognition/", "s3://table_recognition/", "s3://text_detection/", "s3://ocr_error_detection/"},
		}[p.name]
		for _, words := range append(missing, nothing, "copy that folder") {
			if !strings.Contains(out.Stderr, words) {
				t.Errorf("it does not say %q:\n%s", words, out.Stderr)
			}
		}
		if out.Code != 3 {
			t.Errorf("exit %d", out.Code)
		}
		out = rig.Command{Args: args, Env: append(network, "PDFMILL_MODELS="+p.models), Limit: patience}.Run(t)
		if out.Code != 0 || !strings.Contains(out.Stdout, "its weights are there; nobody knows") {
			t.Errorf("exit %d with all of them\n%s%s", out.Code, out.Stdout, out.Stderr)
		}
		if n := asked.Load(); n > 0 {
			t.Errorf("%d requests", n)
		}
	})
}
