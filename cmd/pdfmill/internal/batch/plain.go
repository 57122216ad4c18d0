package batch

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// Plain shows a run as lines: what was converted on Out, what failed on Err.
type Plain struct{ Out, Err io.Writer }

// Document implements Progress.
func (p Plain) Document(d Document) {
	if d.Outcome == OutcomeFailed {
		fmt.Fprintln(p.Err, Line(d))
		return
	}
	fmt.Fprintln(p.Out, Line(d))
}

// Pages implements Progress.
func (p Plain) Pages(int, int) {}

// Close implements Progress.
func (p Plain) Close() {}

// Line says in one line what became of a document.
func Line(d Document) string {
	switch {
	case d.Outcome == OutcomeFailed:
		return fmt.Sprintf("failed %s: %s: %s", d.Input, d.Class, d.Message)
	case d.Kept:
		return fmt.Sprintf("kept %s → %s (converted before)", d.Input, d.Markdown)
	}
	return fmt.Sprintf("converted %s → %s (%s, %.1f s)%s", d.Input, d.Markdown, count(d), d.Seconds, remarks(d))
}

func count(d Document) string {
	if d.ConvertedPages != d.Pages {
		return fmt.Sprintf("%d of %s", d.ConvertedPages, Plural(d.Pages, "page"))
	}
	return Plural(d.Pages, "page")
}

// meanings says what a warning of the closed list is about.
var meanings = map[string]string{
	"no-text":   "no text layer (a scan? the engine ocr reads those)",
	"truncated": "text cut off",
	"degraded":  "converted in a simpler way",
}

// remarks names pages that did not come through as they should.
func remarks(d Document) string {
	var order []string
	groups := map[string][]pages.Range{}
	add := func(what string, page int) {
		if groups[what] == nil {
			order = append(order, what)
		}
		groups[what] = append(groups[what], pages.Range{First: page, Last: page})
	}
	for _, f := range d.FailedPages {
		add("failed: "+string(f.Class), f.Page)
	}
	for _, w := range d.Warnings {
		text := w.Warning
		if meaning := meanings[w.Warning]; meaning != "" {
			text += ", " + meaning
		}
		add(text, w.Page)
	}
	var b strings.Builder
	for _, what := range order {
		set := pages.Union(groups[what]...)
		noun := "page"
		if set.Len() > 1 {
			noun = "pages"
		}
		list := set.String()
		if len(list) > 60 {
			list = list[:strings.LastIndexByte(list[:60], ',')+1] + "…"
		}
		fmt.Fprintf(&b, "; %s %s %s", noun, list, what)
	}
	return b.String()
}

// Plural counts things in words.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// Summary says in one line how a run went.
func Summary(r Report) string {
	t := r.Totals
	var b strings.Builder
	fmt.Fprintf(&b, "%s converted", Plural(t.Converted, "document"))
	if t.Kept > 0 {
		fmt.Fprintf(&b, " (%d of them before)", t.Kept)
	}
	if t.Failed > 0 {
		fmt.Fprintf(&b, ", %d failed", t.Failed)
	}
	if t.Unfinished > 0 {
		fmt.Fprintf(&b, ", %d not done", t.Unfinished)
	}
	fmt.Fprintf(&b, ", %s in %.1f s", Plural(t.ConvertedPages, "page"), t.Seconds)
	return b.String()
}
