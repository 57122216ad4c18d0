package gpurunner

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// TestARunnerIsNotBelieved: what it says it wrote is a regular file in its own folder, or the page is lost.
func TestARunnerIsNotBelieved(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	for path, text := range map[string]string{filepath.Join(dir, "page.md"): "# page", outside: "secret", filepath.Join(dir, "giant.md"): "too much by far"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "pipe.md"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link.md")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pipe.md", "link.md", "giant.md", "missing.md", ".", "../" + filepath.Base(filepath.Dir(outside)) + "/secret"} {
		if file, _, err := openScratch(dir, name, 8); failure.ClassOf(err, "") != failure.EngineError {
			t.Errorf("%s: %v, %v", name, file, err)
		}
	}
	file, size, err := openScratch(dir, "page.md", 8)
	if err != nil || size != 6 {
		t.Fatalf("%d bytes, %v", size, err)
	}
	file.Close()
}
