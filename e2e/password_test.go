package e2e

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

const locked = "../contract/documents/locked.pdf"

// TestAPasswordIsUsedAndNeverSeen: it opens the document, and is in no event, object, key-value entry, log or scratch file afterwards.
func TestAPasswordIsUsedAndNeverSeen(t *testing.T) {
	const password = "correct horse"
	t.Setenv("PDFMILL_SECRET_LETTERS", "not this one\n"+password)
	data, out := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "out")
	run := rig.Run(t, "convert", locked, "-o", out, "--data", data, "--password-ref", "letters", "--log-level", "debug")
	if run.Code != 0 {
		t.Fatalf("exit %d: %s", run.Code, run.Stderr)
	}
	text := read(t, filepath.Join(out, "locked.md"))
	if !bytes.Contains(text, []byte("A letter for two")) || !bytes.Contains(text, []byte("Its second page")) {
		t.Errorf("the document is %q", text)
	}
	files := 0
	for _, dir := range []string{data, out} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			files++
			if content := read(t, path); bytes.Contains(content, []byte(password)) {
				t.Errorf("%s has the password", path)
			}
			if strings.Contains(path, ".unlocked") {
				t.Errorf("%s is left behind", path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 10 {
		t.Errorf("only %d files were kept: is this the pipeline's state?", files)
	}
	if strings.Contains(run.Stdout+run.Stderr, password) {
		t.Error("the log has the password")
	}
}

func TestAWrongPasswordSaysSo(t *testing.T) {
	t.Setenv("PDFMILL_SECRET_LETTERS", "c4n4ry")
	out := filepath.Join(t.TempDir(), "out")
	run := rig.Run(t, "convert", locked, "-o", out, "--password-ref", "letters", "--log-level", "debug")
	report := string(read(t, filepath.Join(out, "report.json")))
	if run.Code != 1 || !strings.Contains(report, "wrong password") || !strings.Contains(report, "letters") || !strings.Contains(report, "pdf-encrypted") {
		t.Errorf("exit %d: %s", run.Code, report)
	}
	if strings.Contains(run.Stdout+run.Stderr+report, "c4n4ry") {
		t.Error("the password is shown")
	}
	_ = os.Unsetenv("PDFMILL_SECRET_LETTERS")
	run = rig.Run(t, "convert", locked, "-o", filepath.Join(t.TempDir(), "out"), "--password-ref", "letters", "--json")
	if run.Code != 1 || !strings.Contains(run.Stdout, "PDFMILL_SECRET_LETTERS") {
		t.Errorf("unknown secret: exit %d: %s", run.Code, run.Stdout)
	}
}
