package deploy

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAudit: what can't be asked is no clean bill of health, an altered dependency and a known vulnerability are found, whatever else could not be asked.
func TestAudit(t *testing.T) {
	const module, version = "github.com/nats-io/nuid", "v1.0.1" // small, and there: the clients need it
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	root, cache := t.TempDir(), filepath.Join(t.TempDir(), "mod")
	script, err := os.ReadFile("../../deploy/audit.sh")
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"deploy/audit.sh": string(script), "go.mod": "module audited\n\ngo 1.26.0\n\nrequire " + module + " " + version + "\n", "main.go": "package main\n\nimport _ \"" + module + "\"\n\nfunc main() {}\n",
		"runner-py/requirements.lock": "", "runner-py/requirements-more.lock": "",
		"clean": "#!/bin/sh\n", "knows-nothing": "#!/bin/sh\necho 'Dependency not found on PyPI and could not be audited: it'\n",
		"finds": "#!/bin/sh\ncase $4 in *more.lock) echo 'Found 1 known vulnerability in 1 package'; exit 1; esac\n", "fails": "#!/bin/sh\nexit 1\n",
	} {
		path := filepath.Join(root, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil { //nolint:gosec // some are to be run
			t.Fatal(err)
		}
	}
	env := append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod -modcacherw", "GOSUMDB=off", "GOMODCACHE="+cache, "GOPROXY=file://"+filepath.Join(strings.TrimSpace(string(out)), "cache/download"),
		"GOVULNDB=http://127.0.0.1:9")
	tidy := exec.CommandContext(t.Context(), "go", "mod", "download")
	tidy.Dir, tidy.Env = root, env
	if said, err := tidy.CombinedOutput(); err != nil {
		t.Fatalf("go mod download: %v\n%s", err, said)
	}
	audit := func(what, pip string, code int, says string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(root, "deploy/audit.sh"), filepath.Join(root, pip))
		cmd.Env = env
		said, _ := cmd.CombinedOutput() // the exit code says it
		if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(said), says) {
			t.Errorf("%s: exit %d, want %d and %q\n%s", what, got, code, says, said)
		}
	}
	audit("nobody knows Go's vulnerabilities", "clean", 3, "NOT CHECKED")
	audit("pip-audit passes a package over", "knows-nothing", 3, "knows nothing")
	audit("pip-audit fails", "fails", 3, "pip-audit failed")
	audit("a vulnerability in one of the locks", "finds", 1, "FOUND        runner-py/requirements-more.lock")
	if err := os.WriteFile(filepath.Join(cache, module+"@"+version, "nuid.go"), []byte("package nuid\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	audit("an altered dependency", "clean", 1, "dir has been modified")
}
