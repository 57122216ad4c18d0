package tidy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// requirement is what pip makes sure of when it installs: this version, and one of these files.
var requirement = regexp.MustCompile(`^[A-Za-z0-9._-]+(\[[a-z0-9,_-]+\])?==[^ ;]+( ;[^\\]+)?( --hash=sha256:[0-9a-f]{64})+$`)

// TestEveryPythonPackageIsPinnedByHash: what an engine is made of is decided here, not by an index.
func TestEveryPythonPackageIsPinnedByHash(t *testing.T) {
	locks, err := filepath.Glob("../../runner-py/requirements*.lock")
	if err != nil || len(locks) < 4 {
		t.Fatalf("the engines' lock files: %q, %v", locks, err)
	}
	for _, lock := range locks {
		content, err := os.ReadFile(lock)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(string(content)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
		packages := 0
		for _, line := range strings.Split(strings.ReplaceAll(strings.Join(lines, "\n"), "\\\n", ""), "\n") {
			if packages++; !requirement.MatchString(strings.Join(strings.Fields(line), " ")) {
				t.Errorf("%s: %.80q is not one version with hashes", lock, line)
			}
		}
		if packages == 0 {
			t.Errorf("%s holds no package", lock)
		}
	}
}
