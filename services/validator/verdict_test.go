package validator_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/secret"
	"github.com/pdfmill/pdfmill/services/validator"
)

func check(t *testing.T, i *validator.Inspector, r validator.Request) validator.Report {
	t.Helper()
	report, err := i.Check(t.Context(), r, 32)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func file(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "document.pdf")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// zipped is an archive with a file that is stored as it is.
func zipped(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	w, err := archive.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	if err == nil {
		_, err = w.Write(content)
	}
	if err = errors.Join(err, archive.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What a script reads of a report has these keys, all of them each time.
func TestAReportHasItsKeys(t *testing.T) {
	inspector := newInspector(t, validator.DefaultLimits())
	for _, path := range []string{file(t, nil), plain(1).write(t, "good.pdf")} {
		text, err := json.Marshal(check(t, inspector, validator.Request{Path: path}))
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		if keys := slices.Sorted(maps.Keys(fields)); !slices.Equal(keys, []string{"class", "facts", "input", "message", "pages", "plan", "seconds", "verdict"}) {
			t.Errorf("keys %v in %s", keys, text)
		}
	}
}

func TestAVerdictSaysWhatAndWhere(t *testing.T) {
	inspector := newInspector(t, validator.DefaultLimits())
	good := plain(2).bytes()
	handler := strings.Replace(string(good), "trailer<<", "trailer<</Encrypt 3 0 R/ID[<00><00>]", 1)
	encrypted := func(dict string) []byte { return []byte(handler + "3 0 obj" + dict + "endobj\n") }
	for name, c := range map[string]struct {
		content []byte
		class   failure.Class
		says    string
	}{
		"empty":         {nil, failure.PDFEmpty, "no bytes"},
		"web page":      {[]byte("<!DOCTYPE html><html><body>404</body></html>"), failure.NotPDF, "web page"},
		"web page, %":   {[]byte("<!DOCTYPE html><html><body>%PDF-1.7 startxref %%EOF</body></html>"), failure.NotPDF, "web page"},
		"gzip":          {[]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"), failure.NotPDF, "gzip"},
		"json":          {[]byte(`{"error": "AccessDenied"}`), failure.NotPDF, "JSON"},
		"zero bytes":    {make([]byte, 5000), failure.NotPDF, "nothing but zero bytes"},
		"jpeg":          {[]byte("\xff\xd8\xff\xe0\x00\x10JFIF"), failure.NotPDF, "image/jpeg"},
		"e-mail":        {[]byte("From: a@example.org\r\nTo: b@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nhello"), failure.NotPDF, "an e-mail"},
		"program":       {append([]byte("MZ"), make([]byte, 100)...), failure.NotPDF, "a Windows program"},
		"stored in ZIP": {zipped(t, "a.pdf", good), failure.NotPDF, "ZIP archive (or an Office document) that has a PDF in it"},
		"header only":   {[]byte("%PDF-1.4\n"), failure.PDFCorrupt, "nothing else"},
		"no tail":       {append([]byte("%PDF-1.4\n"), bytes.Repeat([]byte("1 0 obj "), 100)...), failure.PDFCorrupt, "cut off at byte 809"},
		"zeros":         {append([]byte("%PDF-1.4\n"), make([]byte, 5000)...), failure.PDFCorrupt, "from byte 9 on it is all zero"},
		"xref beyond":   {append(append([]byte("%PDF-1.4\n"), bytes.Repeat([]byte(" "), 100)...), "startxref\n99999\n%%EOF"...), failure.PDFCorrupt, "should be at byte 99999"},
		"late header":   {append(bytes.Repeat([]byte("\n"), 3000), good...), failure.PDFCorrupt, "header %PDF- is at byte 3000"},
		"other handler": {encrypted("<</Filter/FOPN_fLock/V 1/R 1>>"), failure.PDFEncrypted, "FOPN_fLock"},
		"version":       {encrypted("<</Filter/Standard/V 9/R 9/O(x)/U(x)/P -4>>"), failure.PDFEncrypted, "version 9"},
	} {
		if r := check(t, inspector, validator.Request{Path: file(t, c.content)}); r.Class != c.class || !strings.Contains(r.Message, c.says) {
			t.Errorf("%s: %q %s, want %q … %s", name, r.Class, r.Message, c.class, c.says)
		}
	}
}

const locked = "../../contract/documents/locked.pdf"

func TestPasswordsAreTriedInOrder(t *testing.T) {
	path, err := filepath.Abs(locked)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PDFMILL_SECRET_RIGHT", "wrong\ncorrect horse\n")
	t.Setenv("PDFMILL_SECRET_WRONG", "c4n4ry")
	t.Setenv("PDFMILL_SECRET_WRONGS", "c4n4ry\nc4n4ry2")
	inspector := newInspector(t, validator.DefaultLimits())
	for ref, says := range map[string]string{
		"": "needs a password", "right": "", "wrong": `wrong password: that of secret "wrong"`, "wrongs": "none of the 2", "nobody": "PDFMILL_SECRET_NOBODY",
	} {
		r := check(t, inspector, validator.Request{Path: path, PasswordRef: ref})
		if says == "" {
			if r.Class != "" || r.Pages != 2 || !r.Facts.Password || r.Facts.Security != 6 {
				t.Errorf("%s: %s %q, %+v", ref, r.Class, r.Message, r.Facts)
			}
			continue
		}
		if r.Class != failure.PDFEncrypted || !strings.Contains(r.Message, says) || strings.Contains(r.Message, "c4n4ry") {
			t.Errorf("%s: %s %q, want %q", ref, r.Class, r.Message, says)
		}
	}
	// Who needs no password does not care whether there is one.
	if r := check(t, inspector, validator.Request{Path: plain(1).write(t, "open.pdf"), PasswordRef: "nobody"}); r.Class != "" || r.Facts.Password {
		t.Errorf("open document with an unknown secret: %s %q", r.Class, r.Message)
	}
}

func withPolicies(t *testing.T, p validator.Policies) *validator.Inspector {
	t.Helper()
	i, err := validator.NewInspector(probes(t), validator.DefaultLimits(), p, secret.NewStore(secret.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

func TestRestrictionsFollowThePolicy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "restricted.pdf")
	run(t, "qpdf", "--warning-exit-0", "--encrypt", "", "owner", "256", "--extract=n", "--", plain(1).write(t, "open.pdf"), path)
	r := check(t, withPolicies(t, validator.Policies{Restrictions: validator.RestrictionsIgnore}), validator.Request{Path: path})
	if r.Class != "" || !r.Facts.NoExtract || r.Facts.Restrictions != "ignore" {
		t.Errorf("ignored: %s %q %+v", r.Class, r.Message, r.Facts)
	}
	r = check(t, withPolicies(t, validator.Policies{Restrictions: validator.RestrictionsRespect}), validator.Request{Path: path})
	if r.Class != failure.PDFEncrypted || !strings.Contains(r.Message, "author forbids") {
		t.Errorf("respected: %s %q", r.Class, r.Message)
	}
}
