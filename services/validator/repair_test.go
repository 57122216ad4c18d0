package validator_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/validator"
)

// run runs a program that the tests need; make test installs it.
func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// whole is a document with a cross-reference table, so that it can be damaged.
func whole(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "whole.pdf")
	run(t, "qpdf", "--static-id", "--object-streams=disable", "--warning-exit-0", plain(3).write(t, "plain.pdf"), path)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestDamagedDocumentsAreRepairedWhenThePolicySaysSo(t *testing.T) {
	good := whole(t)
	for name, damaged := range map[string][]byte{
		"leading junk": append(bytes.Repeat([]byte("\n"), 5000), good...),
		"missing tail": good[:bytes.LastIndex(good, []byte("xref\n0"))],
		"broken xref":  bytes.Replace(good[:bytes.LastIndex(good, []byte("trailer"))], []byte("xref\n0"), []byte("xxxx\n0"), 1),
	} {
		path, scratch := file(t, damaged), t.TempDir()
		off := check(t, withPolicies(t, validator.Policies{Repair: validator.RepairOff}), validator.Request{Path: path, Scratch: scratch})
		if off.Class != failure.PDFCorrupt || !strings.Contains(off.Message, "--repair safe") {
			t.Errorf("%s, off: %q %s", name, off.Class, off.Message)
		}
		safe := withPolicies(t, validator.Policies{Repair: validator.RepairSafe})
		found, err := safe.Inspect(t.Context(), validator.Request{Path: path, Scratch: scratch})
		if err != nil {
			t.Errorf("%s, safe: %v", name, err)
			continue
		}
		r := found.Facts.Repair
		if found.Facts.Pages != 3 || r == nil || !strings.Contains(r.Tool, "qpdf") || r.Bytes == 0 || len(r.SHA256) != 64 || r.Reason == "" {
			t.Errorf("%s: %d pages, repair %+v", name, found.Facts.Pages, r)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, damaged) {
			t.Errorf("%s: the original was changed (%v)", name, err)
		}
		again, err := safe.Inspect(t.Context(), validator.Request{Path: path, Scratch: scratch})
		if err != nil || again.Facts.Repair.SHA256 != r.SHA256 {
			t.Errorf("%s: a second repair gives other bytes (%v)", name, err)
		}
		for _, copied := range []string{found.Repaired, again.Repaired} {
			if about, err := os.Stat(copied); err != nil || about.Mode().Perm() != 0o600 {
				t.Errorf("%s: repaired copy %v, %v", name, about, err)
			}
			_ = os.Remove(copied)
		}
		if left, err := os.ReadDir(scratch); err != nil || len(left) != 0 {
			t.Errorf("%s: left in scratch: %v, %v", name, left, err)
		}
	}
}

func TestWhatCanNotBeRepairedSaysWhy(t *testing.T) {
	safe, scratch := withPolicies(t, validator.Policies{Repair: validator.RepairSafe}), t.TempDir()
	path := file(t, append([]byte("%PDF-1.4\n"), bytes.Repeat([]byte("nothing here "), 100)...))
	r := check(t, safe, validator.Request{Path: path, Scratch: scratch})
	if r.Class != failure.PDFCorrupt || !strings.Contains(r.Message, "cut off at byte") || !strings.Contains(r.Message, "qpdf gave up") || strings.Contains(r.Message, scratch) {
		t.Errorf("hopeless: %q %s", r.Class, r.Message)
	}
	t.Setenv("PATH", "")
	if r := check(t, safe, validator.Request{Path: path, Scratch: scratch}); r.Class != failure.PDFCorrupt || !strings.Contains(r.Message, "not installed") {
		t.Errorf("no qpdf: %q %s", r.Class, r.Message)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) != 0 {
		t.Errorf("left in scratch: %v, %v", left, err)
	}
}
