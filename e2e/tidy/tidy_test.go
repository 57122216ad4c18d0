// Package tidy holds the house rules as tests. Each rule says why it is there.
package tidy

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/pdfmill/pdfmill/"

type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
	GoFiles, TestGoFiles, XTestGoFiles []string
}

func workspace(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "work")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var p pkg
		if err := decoder.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found only %d packages: is this the workspace?", len(all))
	}
	return all
}

func inside(importPath string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool {
		return importPath == module+f || strings.HasPrefix(importPath, module+f+"/")
	})
}

// part is the folder that a package belongs to: "pipeline", "services/ingest", "cmd/pdfmill" …
func part(importPath string) string {
	rest, ours := strings.CutPrefix(importPath, module)
	if !ours {
		return ""
	}
	words := strings.Split(rest, "/")
	if (words[0] == "services" || words[0] == "cmd") && len(words) > 1 {
		return path.Join(words[0], words[1])
	}
	return words[0]
}

func TestImportsPointOneWay(t *testing.T) {
	rules := []struct {
		why    string
		broken func(from, to string) bool
	}{
		{"the shared module knows nobody above it", func(from, to string) bool {
			return inside(from, "pipeline") && part(to) != "" && !inside(to, "pipeline")
		}},
		{"a service never imports another: they only meet in messages", func(from, to string) bool {
			return inside(from, "services") && inside(to, "services") && part(from) != part(to)
		}},
		{"a service can't tell whether it runs embedded", func(from, to string) bool {
			return inside(from, "services", "pipeline") && inside(to, "embedded", "cmd")
		}},
		{"only two packages speak to NATS", func(from, to string) bool {
			return strings.HasPrefix(to, "github.com/nats-io/nats.go") && inside(from, "pipeline", "services", "cmd", "runner-py") &&
				!inside(from, "pipeline/jet", "pipeline/deadletter")
		}},
		{"only one package speaks S3", func(from, to string) bool {
			return strings.HasPrefix(to, "github.com/minio/minio-go") && inside(from, "pipeline", "services", "cmd") && !inside(from, "pipeline/object")
		}},
		{"servers are linked in one place", func(from, to string) bool {
			return (strings.HasPrefix(to, "github.com/nats-io/nats-server") || strings.HasPrefix(to, "github.com/versity/")) &&
				!inside(from, "embedded", "pipeline/pipelinetest")
		}},
		{"what tests use stays in tests", func(from, to string) bool {
			return inside(to, "pipeline/pipelinetest", "pipeline/conformance", "services/gpu-runner/fakechild") &&
				!inside(from, "pipeline/pipelinetest", "pipeline/conformance", "services/gpu-runner/fakechild", "services/gpu-runner/devices/devicestest", "e2e")
		}},
		{"a service never carries the simulator of what it drives", func(from, to string) bool {
			return inside(to, "services/gpu-runner/gpusim", "services/gpu-runner/devices/devicestest", "services/gpu-runner/cgroup/cgrouptest") &&
				!inside(from, "services/gpu-runner/gpusim", "e2e", "bench")
		}},
		{"nobody builds on tests or benchmarks", func(from, to string) bool {
			return inside(to, "e2e", "bench") && part(from) != part(to)
		}},
		{"the nouns know no broker and no store", func(from, to string) bool {
			return inside(from, "pipeline/document", "pipeline/job", "pipeline/pages", "pipeline/failure", "pipeline/stage") &&
				inside(to, "pipeline/jet", "pipeline/object", "pipeline/deadletter", "pipeline/event", "pipeline/lifecycle")
		}},
	}
	for _, p := range workspace(t) {
		for _, to := range p.Imports {
			for _, rule := range rules {
				if rule.broken(p.ImportPath, to) {
					t.Errorf("%s imports %s: %s", p.ImportPath, to, rule.why)
				}
			}
		}
	}
}
