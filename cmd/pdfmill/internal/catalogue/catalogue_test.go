package catalogue

import (
	"io/fs"
	"strings"
	"testing"

	runnerpy "github.com/pdfmill/pdfmill/runner-py"
)

func TestTermsAreSaidBeforeAnythingIsInstalled(t *testing.T) {
	for name, words := range map[string][]string{
		"marker":  {"Apache-2.0", "Open Rail-M", "$5M", "6.1 GB", "surya_layout2"},
		"ocr":     {"Apache-2.0", "400 MB", "PP-OCRv6"},
		"marker1": {"GPL-3.0", "Open Rail-M", "$2M", "4.8 GB", "text_recognition"},
	} {
		e, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range words {
			if !strings.Contains(e.Conditions(), word) {
				t.Errorf("%s: the terms don't say %q:\n%s", name, word, e.Conditions())
			}
		}
	}
	if _, err := Find("markers"); err == nil || !strings.Contains(err.Error(), "marker1") {
		t.Errorf("%v", err)
	}
}

// What is promised is what the lock file installs.
func TestVersionsAreThoseOfTheLockFiles(t *testing.T) {
	for _, e := range All() {
		name := "requirements.lock"
		if e.Extra != "" {
			name = "requirements-" + e.Extra + ".lock"
		}
		lock, err := fs.ReadFile(runnerpy.Sources(), name)
		if err != nil {
			t.Fatal(err)
		}
		if pin := strings.ReplaceAll(e.Package, " ", "=="); !strings.Contains(string(lock), "\n"+pin) && !strings.HasPrefix(string(lock), pin) {
			t.Errorf("%s: %s is not in %s", e.Name, pin, name)
		}
	}
}
