package validator_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/validator"
)

// TestHugeDocuments: one of 5 GB is refused by its size; what PDFium can still address is read, with no more memory than any other. It could not be told of a larger
// one, so that no limit may allow it.
func TestHugeDocuments(t *testing.T) {
	const most = 4<<30 - 1
	path := sparse(t, 5<<30)
	limits := validator.DefaultLimits()
	r, err := newInspector(t, limits).Check(t.Context(), validator.Request{Path: path}, 32)
	if err != nil || r.Class != failure.LimitBytes || !strings.Contains(r.Message, "5368709120 bytes") || !strings.Contains(r.Message, "limit is 2147483648") {
		t.Errorf("%s %q %v", r.Class, r.Message, err)
	}
	limits.MaxBytes = most
	if err := limits.Validate(); err != nil {
		t.Error(err)
	}
	if r, err = newInspector(t, limits).Check(t.Context(), validator.Request{Path: sparse(t, most)}, 32); err != nil || r.Verdict != validator.VerdictOK || r.Facts.LoadablePages != 1 {
		t.Errorf("4 GiB less one: %s %s %q, %d pages: %v", r.Verdict, r.Class, r.Message, r.Facts.LoadablePages, err)
	}
	limits.MaxBytes = most + 1
	if err := limits.Validate(); err == nil || !strings.Contains(err.Error(), "max-bytes") {
		t.Errorf("max-bytes of 4 GiB: %v", err)
	}
}

// sparse is a document of so many bytes, of which all but the first and the last are a hole: it takes no room.
func sparse(t *testing.T, size int64) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "huge.pdf")
	head, offsets := "%PDF-1.4\n", "0000000000 65535 f \n"
	for i, object := range []string{"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>"} {
		offsets += fmt.Sprintf("%010d 00000 n \n", len(head))
		head += fmt.Sprintf("%d 0 obj\n%s\nendobj\n", i+1, object)
	}
	tail := func(start int64) string {
		return fmt.Sprintf("xref\n0 4\n%strailer\n<</Size 4/Root 1 0 R>>\nstartxref\n%010d\n%%%%EOF\n", offsets, start)
	}
	start := size - int64(len(tail(0)))
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString(head)
	_, errTail := file.WriteAt([]byte(tail(start)), start)
	if err := errors.Join(err, errTail, file.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}
