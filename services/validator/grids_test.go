package validator_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/services/validator"
	"github.com/pdfmill/pdfmill/services/validator/plan"
)

// sheet is a page: a running head, lines of text, rows of a table with so many columns, lines of text again, a page number.
func sheet(before, rows, columns, after int) [2]string {
	var b strings.Builder
	y := 760
	show := func(x int, text string) { fmt.Fprintf(&b, "BT /F1 10 Tf %d %d Td (%s) Tj ET\n", x, y, text) }
	show(250, "A report on mills")
	for n := range before {
		y -= 15
		show(72, fmt.Sprintf("Line %d says in many words what others have said before it of mills and rivers.", n))
	}
	for r := range rows {
		y -= 15
		for c := range columns {
			show(72+c*450/columns, fmt.Sprintf("%d.%d", r*17%90, c))
		}
	}
	for n := range after {
		y -= 15
		show(72, fmt.Sprintf("Line %d says in many words what others have said before it of mills and rivers.", n))
	}
	y = 30
	show(300, "7")
	return [2]string{"", b.String()}
}

func TestTablesThatGoOnOverAPage(t *testing.T) {
	p := pdf{streams: map[int][2]string{
		1000: sheet(10, 20, 5, 0), // ends with a table
		1001: sheet(0, 30, 5, 6),  // begins with it
		1002: sheet(10, 10, 5, 10),
		1003: sheet(30, 0, 0, 0),
		1004: sheet(10, 10, 2, 0), // two columns may be text
		1005: sheet(0, 40, 4, 0),
	}}
	for n := range 6 {
		p.pages = append(p.pages, page(595, 842, 1000+n))
	}
	inspector := newInspector(t, validator.DefaultLimits())
	path := p.write(t, "tables.pdf")
	found, err := inspector.Inspect(t.Context(), validator.Request{Path: path, Grids: true})
	if err != nil {
		t.Fatal(err)
	}
	want := [][2]int{{0, 5}, {5, 0}, {0, 0}, {0, 0}, {0, 0}, {4, 4}}
	for i, p := range found.Facts.PageList {
		if got := [2]int{p.GridBegin, p.GridEnd}; got != want[i] {
			t.Errorf("page %d begins and ends with %v columns, want %v", i+1, got, want[i])
		}
	}
	if found, err = inspector.Inspect(t.Context(), validator.Request{Path: path}); err != nil || found.Facts.PageList[0].GridEnd != 0 {
		t.Errorf("looked for unasked: %v", err)
	}
}

// TestTablesOfRealDocuments counts, in the documents with reference Markdown and in the corpus, what looks like a table over a page boundary.
func TestTablesOfRealDocuments(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(os.Getenv("PDFMILL_CORPUS"), "gt", "*.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range corpus(t) {
		if d.class == "ok" {
			files = append(files, d.path)
		}
	}
	inspector := newInspector(t, validator.DefaultLimits())
	boundaries, over, cut, beside := 0, 0, 0, 0
	for _, file := range files {
		found, err := inspector.Inspect(t.Context(), validator.Request{Path: file, Grids: true})
		if err != nil {
			continue
		}
		list := found.Facts.PageList
		boundaries += max(len(list)-1, 0)
		without := make([]facts.Page, len(list))
		copy(without, list)
		tables := map[int]bool{}
		for i := range without {
			without[i].GridBegin = 0
			if i > 0 && plan.GoesOn(list[i-1], list[i]) {
				tables[list[i-1].Page] = true
				t.Logf("%s: over the end of page %d (%d, %d columns)", filepath.Base(file), list[i-1].Page, list[i-1].GridEnd, list[i].GridBegin)
			}
		}
		over += len(tables)
		for _, most := range []int{4, 8, 16, 32} {
			cut += through(tables, found.Facts.Pages, most, without)
			beside += through(tables, found.Facts.Pages, most, list)
		}
	}
	t.Logf("%d documents, %d page boundaries, tables over %d of them; cut in ranges of 4, 8, 16 and 32 pages: %d without looking, %d with", len(files), boundaries, over, cut, beside)
	if beside > cut {
		t.Error("looking made it worse")
	}
}

// through counts the cuts of a plan that go through tables.
func through(tables map[int]bool, total, most int, list []facts.Page) (n int) {
	for _, r := range plan.Ranges(pages.Set{{First: 1, Last: total}}, most, plan.Weigh(list)) {
		if tables[r.Last] {
			n++
		}
	}
	return n
}
