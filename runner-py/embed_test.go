package runnerpy

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestEverySourceFileIsEmbedded(t *testing.T) {
	want := []string{"pyproject.toml", "requirements.lock", "requirements-marker.lock", "requirements-marker1.lock", "README.md"}
	err := filepath.WalkDir("src", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && (strings.HasSuffix(path, ".py") || entry.Name() == "py.typed") {
			want = append(want, filepath.ToSlash(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range want {
		onDisk, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		embedded, err := fs.ReadFile(Sources(), path)
		if err != nil {
			t.Errorf("%s is not embedded: %v; add its folder to the patterns in embed.go", path, err)
		} else if !bytes.Equal(onDisk, embedded) {
			t.Errorf("%s differs from what is embedded", path)
		}
	}
}

func TestNothingElseIsEmbedded(t *testing.T) {
	err := fs.WalkDir(Sources(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasPrefix(path, "src/") && !strings.HasSuffix(path, ".py") && entry.Name() != "py.typed" {
			t.Errorf("%s is embedded", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestHashIsStable(t *testing.T) {
	first := Hash()
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(first) {
		t.Fatalf("Hash() = %q, want 64 hex digits", first)
	}
	if second := Hash(); second != first {
		t.Fatalf("Hash() = %s, then %s", first, second)
	}
}

func TestLocksNameNoRegistry(t *testing.T) {
	for _, name := range []string{"requirements.lock", "requirements-marker.lock", "requirements-marker1.lock"} {
		lock, err := fs.ReadFile(Sources(), name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(lock, []byte("://")) || !bytes.Contains(lock, []byte("--hash=sha256:")) {
			t.Errorf("%s must pin hashes and name no registry", name)
		}
	}
}
