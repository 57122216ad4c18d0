package object_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/object"
)

// TestASmallObjectIsOnePlainRequest: no chunks, of which a gateway may leave some on the connection for the next request to stumble over.
func TestASmallObjectIsOnePlainRequest(t *testing.T) {
	sums, sent := map[string]string{}, map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		sums[r.URL.Path], sent[r.URL.Path] = r.Header.Get("X-Amz-Content-Sha256"), string(content)
		w.Header().Set("ETag", `"x"`)
	}))
	defer server.Close()
	s, err := object.NewS3(object.Config{Endpoint: server.URL, AccessKey: "a", SecretKey: "s", Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const streamed = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	for key, c := range map[string]struct {
		body io.Reader
		size int64
		sum  string
	}{
		"empty":    {strings.NewReader(""), 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		"small":    {strings.NewReader("abc"), 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		"one way":  {io.MultiReader(strings.NewReader("abc")), 3, streamed},
		"too much": {bytes.NewReader(make([]byte, 5<<20)), 5 << 20, streamed},
	} {
		if _, err := s.Put(t.Context(), "bucket", key, c.body, c.size, object.Put{}); err != nil {
			t.Fatal(err)
		}
		path := "/bucket/" + key
		if sums[path] != c.sum || (c.sum != streamed && int64(len(sent[path])) != c.size) {
			t.Errorf("%s: %d bytes sent under %s", key, len(sent[path]), sums[path])
		}
	}
}
