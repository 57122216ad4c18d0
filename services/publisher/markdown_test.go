package publisher

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/yuin/goldmark"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// documentOf joins page texts; a nil text is a lost page.
func documentOf(texts ...*string) string {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	p := &product{form: &markdown{marks: true}}
	for i, text := range texts {
		page := Page{Page: i + 1, Status: event.PageOK}
		if text == nil {
			page.Status, page.Class, page.Message = event.PageFailed, failure.OOM, "out of <b>memory</b>\n# not *a* heading `x`"
			text = new(string)
		}
		_ = p.page(w, page, *text, nil) // Markdown takes any text
	}
	_ = w.Flush() // into memory
	return out.String()
}

func TestAMissingPageIsSeenWhateverThePageBeforeLeavesOpen(t *testing.T) {
	for name, page := range map[string]string{
		"text": "plain", "empty": "", "blank": " \n\n", "fence": "```go\ncode", "long fence": "`````\n```\nx", "tilde": "~~~\n```\ncode",
		"fence in a list": "- item\n  ```\n  code", "closed fence": "```\ncode\n```", "comment": "text\n\n<!-- open", "script": "<script>\nlet x",
		"pre": "<pre>\n\ncode", "style": "<style>", "textarea": "<textarea>\n", "instruction": "<?php", "cdata": "<![CDATA[ x", "declaration": "<!DOCTYPE html",
		"quote": "> quoted\n> ```\n> x", "indented code": "    code", "table": "| a |\n|---|\n| b |", "setext": "title\n---", "div": "<div>\nx",
	} {
		source := documentOf(&page, nil, &page)
		var html bytes.Buffer
		if err := goldmark.Convert([]byte(source), &html); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(html.String(), "<blockquote>\n<p><strong>Page 2 is missing</strong>: oom, out of &lt;b&gt;memory&lt;/b&gt; # not *a* heading `x`</p>\n</blockquote>") {
			t.Errorf("%s: no mark in\n%s\nrendered from\n%s", name, html.String(), source)
		}
	}
}

func TestADocumentCanBeCutIntoItsPagesAgain(t *testing.T) {
	spoof, indented := "text\n\n<!-- page 9 -->\n\nmore", "\n\n    code\n"
	source := documentOf(&spoof, nil, &indented)
	want := "<!-- page 1 -->\n\ntext\n\n&lt;!-- page 9 -->\n\nmore\n\n<!-- page 2 -->\n\n> **Page 2 is missing**: oom, " +
		"out of \\<b\\>memory\\</b\\> \\# not \\*a\\* heading \\`x\\`\n\n<!-- page 3 -->\n\n    code\n"
	if source != want {
		t.Errorf("document %q", source)
	}
}

func TestALongMessageIsCut(t *testing.T) {
	if got := missing(1, failure.Crash, strings.Repeat("é ", 1000)); len([]rune(got)) > maxPlain+60 {
		t.Errorf("mark of %d characters", len([]rune(got)))
	}
}
