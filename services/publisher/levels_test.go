package publisher

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/job"
)

// title is a heading of a made document: with a size, or with a level that its engine saw.
type title struct {
	size float64
	seen int
}

// engine writes pages as marker does: what it says of levels depends on the pages that it is given together, and sections begin anew with them.
type engine struct {
	output string
	guess  *rapid.T
	below  map[int]string
}

// page is a page of titles, each followed by a text.
func (e *engine) page(n int, titles []title) event.PageResult {
	var lines []string
	var blocks []map[string]any
	result := event.PageResult{Page: n, Status: event.PageOK, About: &event.About{}}
	add := func(kind, html string, id int) {
		blocks = append(blocks, map[string]any{
			"id": fmt.Sprintf("/page/%d/%s/%d", n-1, kind, id), "block_type": kind, "html": html, "section_hierarchy": maps.Clone(e.below), "page": n - 1,
		})
	}
	for i, t := range titles {
		level := t.seen
		if level == 0 {
			level = rapid.IntRange(1, 4).Draw(e.guess, "level within the range")
		}
		id := fmt.Sprintf("/page/%d/SectionHeader/%d", n-1, i)
		maps.DeleteFunc(e.below, func(l int, _ string) bool { return l >= level })
		e.below[level] = id
		html := fmt.Sprintf("<h%d>Title <b>%d</b></h%d>", level, i, level)
		add("SectionHeader", html, i)
		if e.output == job.OutputMarkdown {
			html = strings.Repeat("#", level) + fmt.Sprintf(" Title **%d**", i)
		} else {
			html = fmt.Sprintf("<h%d>\n Title\n</h%d>", level, level)
		}
		if t.seen == 0 {
			h := event.Heading{Line: len(lines), Size: t.size}
			if e.output == job.OutputJSON || e.output == job.OutputChunks {
				h = event.Heading{Block: id, Size: t.size}
			}
			result.About.Headings = append(result.About.Headings, h)
		}
		lines = append(append(lines, strings.Split(html, "\n")...), "", "words & <i>more</i> of them", "")
		add("Text", "<p>words & <i>more</i> of them</p>", 100+i)
	}
	switch e.output {
	case job.OutputJSON:
		result.Markdown = jsonOf(map[string]any{"id": fmt.Sprintf("/page/%d", n-1), "block_type": "Page", "html": "", "children": blocks, "section_hierarchy": e.below})
	case job.OutputChunks:
		result.Markdown = jsonOf(map[string]any{"blocks": append([]map[string]any{}, blocks...), "page_info": map[string]any{"bbox": []int{0, 0, 1, 1}}})
	default:
		result.Markdown = strings.Join(lines, "\n") + "\n"
	}
	return result
}

func jsonOf(value any) string {
	data, _ := json.Marshal(value) // plain values always marshal
	return string(data)
}

// cutAt has the pages of a document written in ranges that end at the pages given, and joined.
func cutAt(t *rapid.T, output string, pages [][]title, ends []int) string {
	e := &engine{output: output, guess: t}
	var results []event.PageResult
	var sizes []float64
	for i, titles := range pages {
		if i == 0 || slices.Contains(ends, i) {
			e.below = map[int]string{}
		}
		r := e.page(i+1, titles)
		results = append(results, r)
		for _, h := range r.About.Headings {
			sizes = append(sizes, h.Size)
		}
	}
	var out bytes.Buffer
	w, f := bufio.NewWriter(&out), formOf(output, levelsOf(sizes), true)
	f.begin(w)
	for _, r := range results {
		if err := f.page(w, Page{Page: r.Page, Status: r.Status}, r.Markdown, r.About.Headings); err != nil {
			t.Fatal(err)
		}
	}
	f.end(w)
	_ = w.Flush() // into memory
	return out.String()
}

// How a document is cut into ranges changes nothing: no level of a heading, and no section of a block.
func TestRangesDontChangeHeadings(t *testing.T) {
	for _, output := range []string{job.OutputMarkdown, job.OutputHTML, job.OutputJSON, job.OutputChunks} {
		t.Run(output, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				pages := rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) title {
					if rapid.IntRange(0, 4).Draw(t, "seen") == 0 {
						return title{seen: rapid.IntRange(1, 6).Draw(t, "level")}
					}
					return title{size: float64(rapid.IntRange(90, 300).Draw(t, "size")) / 10}
				}), 0, 4), 1, 8).Draw(t, "pages")
				ends := rapid.SliceOf(rapid.IntRange(1, 8)).Draw(t, "ends")
				whole, cut := cutAt(t, output, pages, nil), cutAt(t, output, pages, ends)
				if whole != cut {
					t.Fatalf("whole:\n%s\ncut at %v:\n%s", whole, ends, cut)
				}
			})
		})
	}
}

func TestLargerHeadingsAreOfHigherLevels(t *testing.T) {
	sizes := []float64{24, 12, 12.1, 16, 12, 11.9, 16.2, 9, 12, 9.1}
	l := levelsOf(sizes)
	for size, want := range map[float64]int{24: 1, 16: 2, 16.2: 2, 12: 3, 11.9: 3, 9: 4, 9.1: 4} {
		if got := l.of(size); got != want {
			t.Errorf("size %g is level %d, want %d", size, got, want)
		}
	}
	if l := levelsOf(sizes[:4]); l.of(24) != 2 || l.of(12) != 2 {
		t.Error("four headings are told apart")
	}
	if l := levelsOf([]float64{15.3, 14.9, 15.1, 15.1, 14.9, 14.9, 15.1}); l.of(15.3) != 2 || l.of(14.9) != 2 {
		t.Error("headings of one size are told apart")
	}
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOf(rapid.Float64Range(4, 90)).Draw(t, "sizes")
		l := levelsOf(sizes)
		slices.Sort(sizes)
		for i := range sizes[:max(len(sizes)-1, 0)] {
			if l.of(sizes[i]) < l.of(sizes[i+1]) {
				t.Fatalf("%g is above %g", sizes[i], sizes[i+1])
			}
		}
	})
}

func TestWhatIsNoHeadingIsLeftAlone(t *testing.T) {
	l := levelsOf([]float64{20, 18, 16, 14, 12})
	headings := []event.Heading{{Line: 0, Size: 20}, {Line: 1, Size: 20}, {Line: 99, Size: 20}, {Line: -1, Size: 20}, {Block: "/page/0/SectionHeader/1", Size: 20}}
	if got := l.inMarkdown("text\n### title", headings); got != "text\n# title" {
		t.Errorf("%q", got)
	}
	if got := l.inHTML("<p>\n<h3>\nnever ended", headings); got != "<p>\n<h3>\nnever ended" {
		t.Errorf("%q", got)
	}
}
