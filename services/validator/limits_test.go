package validator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/validator"
)

// Each limit has its class, names value and bound, and costs the page that breaks it, not the pages beside it.
func TestEachLimitOfAPageHasItsClass(t *testing.T) {
	limits := validator.DefaultLimits()
	limits.MaxPoints, limits.MaxPixels, limits.DPI, limits.MaxImagePixels = 5000, 1_000_000, 72, 900
	limits.MaxObjects, limits.MaxContent, limits.MaxChars, limits.MaxNesting = 50, 100_000, 200, 3
	inspector := newInspector(t, limits)
	form := func(next string) [2]string {
		return [2]string{"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<<" + next + ">>>>", "/X Do"}
	}
	for name, c := range map[string]struct {
		page    string
		streams map[int][2]string
		class   failure.Class
		says    []string
	}{
		"points": {page(6000, 10, 1000), nil, failure.LimitPageSize, []string{"6000 × 10", "5000"}},
		"pixels": {page(2000, 2000, 1000), nil, failure.LimitPixels, []string{"4000000", "72 dpi", "1000000"}},
		"image": {
			"/MediaBox[0 0 300 100]/Contents 1002 0 R/Resources<</XObject<</X 1003 0 R>>>>",
			map[int][2]string{1002: {"", "/X Do"}, 1003: {"/Type/XObject/Subtype/Image/Width 100/Height 10/ColorSpace/DeviceGray/BitsPerComponent 8", strings.Repeat("x", 1000)}},
			failure.LimitPixels,
			[]string{"1000 pixels", "900"},
		},
		"objects": {page(300, 100, 1001), map[int][2]string{1001: {"", strings.Repeat("0 0 m 5 5 l S ", 60)}}, failure.LimitObjects, []string{"60 objects", "50"}},
		"content": {page(300, 100, 1001), map[int][2]string{1001: {"", noise(150_000)}}, failure.LimitContent, []string{"100000"}},
		"chars":   {page(300, 100, 1001), map[int][2]string{1001: says(strings.Repeat("a b ", 100))}, failure.LimitChars, []string{"characters", "200"}},
		"nesting": {
			"/MediaBox[0 0 300 100]/Contents 1002 0 R/Resources<</XObject<</X 1003 0 R>>>>",
			map[int][2]string{1002: {"", "/X Do"}, 1003: form("/X 1004 0 R"), 1004: form("/X 1005 0 R"), 1005: form("/X 1006 0 R"), 1006: form("/X 1007 0 R"), 1007: form("")},
			failure.LimitNesting,
			[]string{"3 levels"},
		},
		"missing": {"", nil, failure.PDFCorrupt, []string{"can't be loaded"}},
	} {
		p := plain(3)
		p.pages[1] = c.page
		for n, s := range c.streams {
			p.streams[n] = s
		}
		r, err := inspector.Check(t.Context(), validator.Request{Path: p.write(t, name+".pdf")}, 32)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Verdict != validator.VerdictOK || r.Facts.LoadablePages != 2 || len(r.Facts.Failed) != 1 || len(r.Plan) != 2 {
			t.Errorf("%s: %s %s %q, failed %v, plan %v", name, r.Verdict, r.Class, r.Message, r.Facts.Failed, r.Plan)
			continue
		}
		failed := r.Facts.Failed[0]
		if failed.Page != 2 || failed.Class != c.class {
			t.Errorf("%s: %+v, want page 2 of class %s", name, failed, c.class)
		}
		for _, part := range c.says {
			if !strings.Contains(failed.Message, part) {
				t.Errorf("%s: %q does not say %s", name, failed.Message, part)
			}
		}
		p.pages = p.pages[1:2]
		r, err = inspector.Check(t.Context(), validator.Request{Path: p.write(t, name+"-alone.pdf")}, 32)
		if err != nil || r.Class != c.class || !strings.Contains(r.Message, "its only page") {
			t.Errorf("%s alone: %s %q %v", name, r.Class, r.Message, err)
		}
	}
}

// A page, or a document, that takes too long is cut off, and the next document is none the worse for it.
func TestTimeIsBounded(t *testing.T) {
	slow := plain(3)
	slow.pages[1] = page(300, 100, 1001)
	slow.streams[1001] = [2]string{"", strings.Repeat("0 0 m 5 5 l S ", 400_000)}
	path := slow.write(t, "slow.pdf")

	limits := validator.DefaultLimits()
	limits.MaxPageTime = 100 * time.Millisecond
	inspector := newInspector(t, limits)
	if err := inspector.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := inspector.Check(t.Context(), validator.Request{Path: path}, 32)
	if err != nil || len(r.Facts.Failed) == 0 || r.Facts.Failed[len(r.Facts.Failed)-1].Class != failure.LimitPageTime {
		t.Errorf("slow page: %s %q, failed %v, %v", r.Class, r.Message, r.Facts.Failed, err)
	}

	limits = validator.DefaultLimits()
	limits.MaxTime = time.Nanosecond
	r, err = newInspector(t, limits).Check(t.Context(), validator.Request{Path: plain(1).write(t, "any.pdf")}, 32)
	if err != nil || r.Class != failure.LimitTime || !strings.Contains(r.Message, "1ns") {
		t.Errorf("no time to open: %s %q, %v", r.Class, r.Message, err)
	}

	// The reason of this one is that its end is missing, which PDFium would look for in all of it.
	r, err = newInspector(t, limits).Check(t.Context(), validator.Request{Path: file(t, append([]byte("%PDF-1.7\n"), make([]byte, 1<<20)...))}, 32)
	if err != nil || r.Class != failure.PDFCorrupt || !strings.Contains(r.Message, "it is cut off: from byte 9") {
		t.Errorf("no time to look for its end: %s %q, %v", r.Class, r.Message, err)
	}

	limits = validator.DefaultLimits()
	limits.FactsTime = 0
	r, err = newInspector(t, limits).Check(t.Context(), validator.Request{Path: path}, 32)
	if err != nil || r.Verdict != validator.VerdictOK || r.Facts.Partial == "" || r.Facts.LoadablePages != 3 || r.Facts.PageList[1].Width != 300 {
		t.Errorf("no time for facts: %s, partial %q, %d pages, %v", r.Verdict, r.Facts.Partial, r.Facts.LoadablePages, err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	hungry := plain(3)
	hungry.pages[1] = page(300, 100, 1001)
	hungry.streams[1001] = [2]string{"", strings.Repeat("0 0 m 5 5 l S ", 400_000)}
	limits := validator.DefaultLimits()
	limits.MaxMemory, limits.MaxPageTime = 48<<20, time.Minute
	r, err := newInspector(t, limits).Check(t.Context(), validator.Request{Path: hungry.write(t, "hungry.pdf")}, 32)
	if err != nil || len(r.Facts.Failed) != 1 || r.Facts.Failed[0].Class != failure.LimitMemory || r.Facts.Failed[0].Page != 2 || r.Facts.LoadablePages != 2 {
		t.Errorf("hungry page: %s %q, failed %v, %d pages, %v", r.Class, r.Message, r.Facts.Failed, r.Facts.LoadablePages, err)
	}
}

// TestAPageIsNotBlamedForThoseBefore: PDFium keeps what it has read of a document. A page for which that leaves no room is looked into by itself.
func TestAPageIsNotBlamedForThoseBefore(t *testing.T) {
	const pages, pixels = 24, 4 << 20
	long := plain(pages)
	long.objects, long.streams[1002] = map[int]string{}, [2]string{"", "/X Do"}
	for i := range pages {
		long.pages[i] = fmt.Sprintf("/MediaBox[0 0 300 100]/Contents 1002 0 R/Resources<</XObject<</X %d 0 R>>>>", 1100+i)
		long.objects[1100+i] = fmt.Sprintf("<</Type/XObject/Subtype/Image/Width 2048/Height 2048/ColorSpace/DeviceGray/BitsPerComponent 8/Length %d>>stream\n%s\nendstream", pixels, strings.Repeat("x", pixels))
	}
	limits := validator.DefaultLimits()
	limits.MaxMemory, limits.MaxPageTime = 48<<20, time.Minute
	r, err := newInspector(t, limits).Check(t.Context(), validator.Request{Path: long.write(t, "long.pdf")}, 32)
	if err != nil || len(r.Facts.Failed) != 0 || r.Facts.LoadablePages != pages {
		t.Errorf("%s %q, failed %v, %d pages, %v", r.Class, r.Message, r.Facts.Failed, r.Facts.LoadablePages, err)
	}
}

func TestWrongLimitsAreNamed(t *testing.T) {
	err := validator.Limits{}.Validate()
	for _, name := range []string{"max-bytes", "max-pages", "max-page-points", "max-page-chars", "inspect-memory", "inspect-page-timeout"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}
