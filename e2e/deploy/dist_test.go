package deploy

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// WholeVariable is set for the long form: all programs, and each time from nothing.
const WholeVariable = "PDFMILL_DIST_WHOLE"

// TestArchive makes the release archive of this platform twice, in different folders: the bytes are the same, and everything is in it.
func TestArchive(t *testing.T) {
	const version = "1.2.3-test"
	programs := []string{"pdfmill-gpu-runner", "pdfmill-publisher"} // one that is linked with the C library and one that is not
	whole := os.Getenv(WholeVariable) != ""
	if whole {
		programs = []string{"pdfmill", "pdfmill-ingest", "pdfmill-validator", "pdfmill-gpu-runner", "pdfmill-publisher"}
	}
	name := fmt.Sprintf("pdfmill_%s_%s_%s", version, runtime.GOOS, runtime.GOARCH)
	var archives [2][]byte
	for i, depth := range []string{"a", "another/folder"} {
		checkout, out := filepath.Join(t.TempDir(), depth), t.TempDir()
		copyTracked(t, checkout)
		cmd := exec.CommandContext(t.Context(), filepath.Join(checkout, "deploy/dist.sh"), version, out)
		cmd.Dir = out
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000", "PROGRAMS="+strings.Join(programs, " "), "CGO_CFLAGS=-O1", "GOFLAGS=") // whatever the shell says
		if whole {
			cmd.Env = append(cmd.Env, "GOCACHE="+t.TempDir())
		}
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("dist.sh: %v\n%s", err, said)
		}
		var err error
		if archives[i], err = os.ReadFile(filepath.Join(out, name+".tar.gz")); err != nil {
			t.Fatal(err)
		}
		sums, err := os.ReadFile(filepath.Join(out, "SHA256SUMS"))
		if want := fmt.Sprintf("%x  %s.tar.gz\n", sha256.Sum256(archives[i]), name); err != nil || string(sums) != want {
			t.Errorf("SHA256SUMS: %q, %v, want %q", sums, err, want)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the same sources in two folders made different archives")
		compare(t, unpack(t, archives[0]), unpack(t, archives[1]))
	}

	files := unpack(t, archives[0])
	for _, want := range []string{
		"LICENSE", "README.md", "docs/deploy.md", "deploy/nomad/pdfmill.nomad.hcl", "deploy/systemd/pdfmill-ingest.service", "licences/go/LICENSE", "licences/pdfium/pdfium.txt",
		"sbom/runner-py.json", "sbom/runner-py-marker.json", "sbom/runner-py-marker1.json", "sbom/runner-py-ocr.json",
	} {
		if len(files[name+"/"+want]) == 0 {
			t.Errorf("%s is not in the archive", want)
		}
	}
	for _, program := range programs {
		content := files[name+"/"+program]
		stamped(t, program, content, version)
		linked(t, program, content, program == "pdfmill" || program == "pdfmill-gpu-runner")
		billed(t, files, name, program, version)
	}
}

// copyTracked copies what the work tree has of the files that git knows.
func copyTracked(t *testing.T, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `git -C ../.. ls-files -z | tar -C ../.. --null -T - -c | tar -C "$0" -x`, to)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("copy the sources: %v\n%s", err, said)
	}
}

// unpack returns the files of an archive. All of them belong to nobody in particular and are of one time.
func unpack(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for entries := tar.NewReader(zipped); ; {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if entry.Uid != 0 || entry.Gid != 0 || entry.ModTime.Unix() != 1700000000 {
			t.Errorf("%s: owner %d:%d, time %s", entry.Name, entry.Uid, entry.Gid, entry.ModTime)
		}
		if entry.Typeflag == tar.TypeReg {
			if files[entry.Name], err = io.ReadAll(entries); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func compare(t *testing.T, one, other map[string][]byte) {
	t.Helper()
	for file, content := range one {
		if !bytes.Equal(content, other[file]) {
			t.Errorf("%s: %d bytes, and %d others", file, len(content), len(other[file]))
		}
	}
}

// stamped runs the program, which must say its version.
func stamped(t *testing.T, program string, content []byte, version string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), program)
	if err := os.WriteFile(file, content, 0o755); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), file, "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(said), version) {
		t.Errorf("%s --version: %q, %v", program, said, err)
	}
}

// linked looks whether a program needs the C library, as those do on Linux that load NVIDIA's.
func linked(t *testing.T, program string, content []byte, wanted bool) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }); got != wanted {
		t.Errorf("%s needs a loader and the C library: %t, want %t", program, got, wanted)
	}
}

// billed compares a program's bill of materials with the licences: each module is in both.
func billed(t *testing.T, files map[string][]byte, name, program, version string) {
	t.Helper()
	var bill struct {
		BOMFormat string
		Metadata  struct{ Component struct{ Version string } }
		// Components are the modules, ours among them.
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(files[path.Join(name, "sbom", program+".json")], &bill); err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	if bill.BOMFormat != "CycloneDX" || bill.Metadata.Component.Version != version || len(bill.Components) < 5 {
		t.Errorf("%s: %q of version %q with %d components", program, bill.BOMFormat, bill.Metadata.Component.Version, len(bill.Components))
	}
	for _, c := range bill.Components {
		if c.Name == "std" || strings.HasPrefix(c.Name, "github.com/pdfmill/") {
			continue
		}
		folder := path.Join(name, "licences", c.Name+"@"+c.Version) + "/"
		found := false
		for file := range files {
			found = found || strings.HasPrefix(file, folder)
		}
		if !found {
			t.Errorf("%s: no licence of %s %s", program, c.Name, c.Version)
		}
	}
}
