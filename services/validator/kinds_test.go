package validator_test

import (
	"path/filepath"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/services/validator"
	"github.com/pdfmill/pdfmill/services/validator/route"
)

// What a page is shows only when somebody asks for it: it costs a look at its text.
func TestKindsOfRealPages(t *testing.T) {
	inspector := newInspector(t, validator.DefaultLimits())
	kinds := func(path string, readable bool) []string {
		t.Helper()
		found, err := inspector.Inspect(t.Context(), validator.Request{Path: path, Readable: readable})
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		var all []string
		for _, p := range found.Facts.PageList {
			if !readable && (p.Readable != nil || p.Covered > 0) {
				t.Errorf("%s: %+v, unasked", path, p)
			}
			all = append(all, route.Kind(p))
		}
		return all
	}
	for name, want := range map[string]string{"scan.pdf": facts.KindScanned, "blank-page.pdf": facts.KindMixed, "letter.pdf": facts.KindMixed} {
		path, err := filepath.Abs(filepath.Join("../../samples", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := kinds(path, true); got[0] != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
		kinds(path, false)
	}
	// Among real documents only one has a layer that does not say what is shown; a scan is one for sure.
	for _, d := range corpus(t) {
		garbled := filepath.Base(d.path) == "ThuluthFeatures.pdf"
		if d.class != "ok" && d.class != "scanned" && !garbled {
			continue
		}
		for i, kind := range kinds(d.path, true) {
			switch {
			case garbled != (kind == facts.KindGarbled):
				t.Errorf("%s, page %d: %s", d.path, i+1, kind)
			case d.class == "scanned" && kind != facts.KindScanned:
				t.Errorf("%s, page %d: %s, want %s", d.path, i+1, kind, facts.KindScanned)
			}
		}
	}
}
