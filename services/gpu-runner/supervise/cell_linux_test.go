package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
	"github.com/pdfmill/pdfmill/services/gpu-runner/fakechild"
)

// TestAWorkerInACell reads its own document and writes its own results. What another worker of the same user works on, what the service has, and who else there is, the
// kernel keeps from it, where it knows how.
func TestAWorkerInACell(t *testing.T) {
	dir, err := os.MkdirTemp("", "pdfmill-cell-") // where everybody may pass, as a test's own folder is not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	user, err := unprivileged.Find(unprivileged.Auto)
	if err != nil {
		t.Fatal(err)
	}
	cells, program, secret := filepath.Join(dir, "cells"), filepath.Join(dir, "worker"), filepath.Join(dir, "secret")
	own := config(fakechild.Config{})
	content, err := os.ReadFile(own.Command.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(dir, 0o711), os.Mkdir(cells, 0o711), os.WriteFile(program, content, 0o700), os.Chmod(program, 0o755), os.WriteFile(secret, []byte("x"), 0o600), user.Own(secret)); err != nil {
		t.Fatal(err)
	}
	inCell := func(c fakechild.Config) Config {
		cfg := config(c)
		cfg.Command.Path, cfg.Command.User, cfg.Command.Confined, cfg.Command.Cell = program, user, true, cells
		return cfg
	}
	other := start(t, inCell(fakechild.Config{}))
	theirs := filepath.Join(other.cell, "page.md")
	if err := errors.Join(os.WriteFile(theirs, []byte("x"), 0o600), user.Own(theirs)); err != nil {
		t.Fatal(err)
	}
	version, unable := Landlock()
	refusal := "permission denied"
	if unable != nil {
		t.Log(unable)
		refusal = "<nil>"
	}
	want := map[string]string{
		theirs: refusal, secret: refusal, fmt.Sprintf("/proc/%d/environ", other.Info().PID): refusal, "write " + filepath.Join(other.cell, "x"): refusal,
		"write " + filepath.Join(os.TempDir(), fmt.Sprintf("pdfmill-written-%d", os.Getpid())): refusal, "/etc/passwd": "<nil>",
	}
	if version >= 6 {
		want[fmt.Sprintf("PID %d", other.Info().PID)] = "operation not permitted"
	}
	var pry []string
	for what := range want {
		pry = append(pry, what)
	}
	p := start(t, inCell(fakechild.Config{Pry: pry}))
	if p.cell == other.cell {
		t.Fatal("two workers share a cell")
	}
	for range 2 { // it is the same worker the second time
		r := request(t, "c-1", "a.pdf")
		document := filepath.Join(dir, "a.pdf")
		r.Path, r.OutDir = document, filepath.Join(dir, "out")
		if err := errors.Join(os.WriteFile(document, []byte("%PDF"), 0o600), user.Read(document), os.Mkdir(r.OutDir, 0o700), user.Own(r.OutDir)); err != nil {
			t.Fatal(err)
		}
		result, err := p.Convert(t.Context(), r, nil)
		if err != nil || len(result.Pages) != 3 {
			t.Fatalf("%+v, %v", result, err)
		}
		said, err := os.ReadFile(filepath.Join(r.OutDir, result.Pages[0].File))
		if err != nil {
			t.Fatal(err)
		}
		want[filepath.Join(p.cell, "a.pdf")] = "<nil>"
		for what, became := range want {
			line := ""
			for l := range strings.Lines(string(said)) {
				if strings.HasPrefix(l, what+": ") {
					line = l
				}
			}
			if !strings.HasSuffix(line, became+"\n") {
				t.Errorf("%s: %q, want %s", what, line, became)
			}
		}
		if left, err := os.ReadDir(p.cell); err != nil || len(left) > 0 {
			t.Errorf("left in the cell: %v, %v", left, err)
		}
		if err := errors.Join(os.RemoveAll(r.OutDir), os.Remove(document)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Stop(patience); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(p.cell); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its cell stays behind: %v", err)
	}
}
