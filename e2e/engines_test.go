package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// TestABrokenEnvironmentIsRepaired: what a power cut leaves of an engine's files is made whole when somebody says so, whichever installer is there. uv's cache holds
// the same files, by hard links.
func TestABrokenEnvironmentIsRepaired(t *testing.T) {
	t.Parallel()
	for installer, path := range map[string]func(*testing.T) string{"pip": withoutUV, "uv": withUV} {
		t.Run(installer, func(t *testing.T) {
			t.Parallel()
			cache := t.TempDir()
			env := []string{"PDFMILL_CACHE=" + cache, "UV_CACHE_DIR=" + t.TempDir(), "PATH=" + path(t)}
			engines := func(args ...string) rig.Output {
				return rig.Command{Args: append([]string{"engines"}, args...), Env: env, Limit: 5 * time.Minute}.Run(t)
			}
			succeeds := func(args ...string) {
				t.Helper()
				if out := engines(args...); out.Code != 0 {
					t.Fatalf("%q: exit %d, %s%s", args, out.Code, out.Stdout, out.Stderr)
				}
			}
			succeeds("install", "text", "--yes")
			compiled(t, cache)
			succeeds("test", "text")
			weights := filepath.Join(cache, "models", "weights")
			if err := os.MkdirAll(filepath.Dir(weights), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(weights, []byte("kept"), 0o600); err != nil {
				t.Fatal(err)
			}

			if err := os.Truncate(one(t, cache, "packages-*/lib/python*/site-packages/liteparse/_liteparse.*"), 4096); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(one(t, cache, "runner-*/src/src/pdfmill_runner/text/lite.py")); err != nil {
				t.Fatal(err)
			}
			if out := engines("test", "text"); out.Code == 0 {
				t.Fatalf("it works without its files: %s", out.Stdout)
			}
			succeeds("install", "text", "--yes") // nobody has said that something is wrong
			if out := engines("test", "text"); out.Code == 0 {
				t.Errorf("it works again without repair, which proves nothing of it: %s", out.Stdout)
			}
			succeeds("install", "text", "--yes", "--repair")
			succeeds("test", "text")
			if kept, err := os.ReadFile(weights); err != nil || string(kept) != "kept" {
				t.Errorf("weights: %q, %v", kept, err)
			}
		})
	}
}

// compiled: each module has its bytecode, which a worker couldn't leave for the next one.
func compiled(t *testing.T, cache string) {
	t.Helper()
	modules, err := filepath.Glob(filepath.Join(cache, "runner-*/src/src/pdfmill_runner/*/*.py"))
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range append(modules, one(t, cache, "packages-*/lib/python*/site-packages/liteparse/__init__.py")) {
		name := strings.TrimSuffix(filepath.Base(module), ".py")
		one(t, filepath.Dir(module), "__pycache__/"+name+".cpython-*.pyc")
	}
	if len(modules) == 0 {
		t.Error("the runner has no modules")
	}
}

// one is the only file in a folder that a pattern finds.
func one(t *testing.T, folder, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %q, %v", pattern, found, err)
	}
	return found[0]
}

// withoutUV is the path of programs, without the folders that have uv.
func withoutUV(*testing.T) string {
	folders := slices.DeleteFunc(filepath.SplitList(os.Getenv("PATH")), func(folder string) bool {
		_, err := os.Stat(filepath.Join(folder, "uv"))
		return err == nil
	})
	return strings.Join(folders, string(os.PathListSeparator))
}

// withUV is the path of programs with uv, which is installed if need be.
func withUV(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PATH")
	if _, err := exec.LookPath("uv"); err == nil {
		return path
	}
	folder := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "python3", "-m", "pip", "install", "-q", "--target", folder, "uv==0.13.9").CombinedOutput(); err != nil {
		t.Fatalf("install uv: %v\n%s", err, out)
	}
	return filepath.Join(folder, "bin") + string(os.PathListSeparator) + path
}
