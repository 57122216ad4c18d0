package embedded_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pdfmill/pdfmill/embedded"
)

func TestSecretsStayTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "credentials.json")
	first, err := embedded.Secrets(path, "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	if len(first["a"]) < 40 || first["a"] == first["b"] {
		t.Errorf("weak secrets: %v", first)
	}
	if about, err := os.Stat(path); err != nil || about.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", about.Mode(), err)
	}
	again, err := embedded.Secrets(path, "a", "b", "c")
	if err != nil || again["a"] != first["a"] || again["b"] != first["b"] || again["c"] == "" {
		t.Errorf("first %v, then %v, %v", first, again, err)
	}
	if third, err := embedded.Secrets(path, "c"); err != nil || !maps.Equal(third, again) {
		t.Errorf("then %v, %v", third, err)
	}
}

func TestSecretsOfTwoAtOnceAreTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credentials.json")
	var group sync.WaitGroup
	got := make([]map[string]string, 8)
	for i := range got {
		group.Go(func() {
			var err error
			if got[i], err = embedded.Secrets(path, "a"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, secrets := range got {
		if !maps.Equal(secrets, got[0]) {
			t.Errorf("%v and %v", secrets, got[0])
		}
	}
}

func TestSecretsThatCanNotBeTrustedAreRefused(t *testing.T) {
	for name, file := range map[string]struct {
		content string
		mode    os.FileMode
		want    string
	}{
		"damaged":          {`{"a": "hush`, 0o600, "damaged"},
		"of another kind":  {`{"a": ["hush"]}`, 0o600, "damaged"},
		"nothing":          {`null`, 0o600, "damaged"},
		"open to everyone": {`{"a": "hush"}`, 0o644, "chmod 600"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "credentials.json")
			if err := os.WriteFile(path, []byte(file.content), file.mode); err != nil {
				t.Fatal(err)
			}
			_, err := embedded.Secrets(path, "a")
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), file.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %v", err)
			}
		})
	}
}
