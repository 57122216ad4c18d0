package object_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/object"
)

// TestAnEmptyObjectIsOneRequest: no chunks, of which a gateway may leave some on the connection for the next request to stumble over.
func TestAnEmptyObjectIsOneRequest(t *testing.T) {
	chunked := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chunked[r.URL.Path] = len(r.TransferEncoding) > 0 || strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING")
		w.Header().Set("ETag", `"x"`)
	}))
	defer server.Close()
	s, err := object.NewS3(object.Config{Endpoint: server.URL, AccessKey: "a", SecretKey: "s", Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, content := range []string{"", "x"} {
		if _, err := object.PutBytes(t.Context(), s, "bucket", "of-"+content, []byte(content), object.Put{}); err != nil {
			t.Fatal(err)
		}
	}
	if chunked["/bucket/of-"] || !chunked["/bucket/of-x"] {
		t.Errorf("sent in chunks: %v, want the one that is not empty", chunked)
	}
}
