package catalogue

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	runnerpy "github.com/pdfmill/pdfmill/runner-py"
)

func TestTermsAreSaidBeforeAnythingIsInstalled(t *testing.T) {
	for name, words := range map[string][]string{
		"marker":  {"Apache-2.0", "Open Rail-M", "$5M", "6.1 GB", "surya_layout2"},
		"ocr":     {"Apache-2.0", "400 MB", "PP-OCRv6"},
		"marker1": {"GPL-3.0", "Open Rail-M", "$2M", "4.8 GB", "text_recognition"},
	} {
		e, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		sizes := make([]Size, max(2, len(e.Weights)))
		sizes[0].Bytes, sizes[1].Err = 1_340_000_000, errors.New("nobody answers")
		if len(e.Fetched()) > 0 {
			words = append(words, "1.34 GB", "nobody answers")
		}
		for _, word := range words {
			if text := e.Conditions(e.Fetched(), sizes); !strings.Contains(text, word) {
				t.Errorf("%s: the terms don't say %q:\n%s", name, word, text)
			}
		}
	}
	if _, err := Find("markers"); err == nil || !strings.Contains(err.Error(), "marker1") {
		t.Errorf("%v", err)
	}
}

// What is promised is what the lock file installs.
func TestVersionsAreThoseOfTheLockFiles(t *testing.T) {
	for _, e := range All() {
		name := "requirements.lock"
		if e.Extra != "" {
			name = "requirements-" + e.Extra + ".lock"
		}
		lock, err := fs.ReadFile(runnerpy.Sources(), name)
		if err != nil {
			t.Fatal(err)
		}
		if pin := strings.ReplaceAll(e.Package, " ", "=="); !strings.Contains(string(lock), "\n"+pin) && !strings.HasPrefix(string(lock), pin) {
			t.Errorf("%s: %s is not in %s", e.Name, pin, name)
		}
	}
}

func TestWeightsFollowTheServerOfTheVisionModel(t *testing.T) {
	e, err := Find("marker")
	if err != nil {
		t.Fatal(err)
	}
	for server, want := range map[string]int{"none": 2, "vllm": 3, "llamacpp": 3} {
		if got := len(e.For(server)); got != want {
			t.Errorf("%s: %d checkpoints, want %d", server, got, want)
		}
	}
}

// The servers' own words about sizes, in the formats of the hub and of the publisher's server.
func TestSizesAreAsked(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/layout/1/manifest.json":
			_, _ = w.Write([]byte(`{"files": ["a", "b"]}`))
		case "/layout/1/a", "/layout/1/b":
			w.Header().Set("Content-Length", "100")
		case "/api/models/o/n":
			_, _ = w.Write([]byte(`{"siblings": [{"rfilename": "x", "size": 30}, {"rfilename": "y", "size": 4}]}`))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	t.Setenv("S3_BASE_URL", server.URL)
	t.Setenv("HF_ENDPOINT", server.URL)
	list := []Weights{{Checkpoint: "s3://layout/1"}, {Checkpoint: "hf://o/n"}, {Checkpoint: "hf://o/n#y"}, {Checkpoint: "hf://o/other"}}
	got := Sizes(t.Context(), list)
	for i, want := range []int64{200, 34, 4} {
		if got[i].Err != nil || got[i].Bytes != want {
			t.Errorf("%s: %+v, want %d", list[i].Checkpoint, got[i], want)
		}
	}
	if got[3].Err == nil {
		t.Error("a size is known of what isn't there")
	}
}
