package publisher

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"

	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// separator stands on a line of its own before each page, invisible when rendered: a program can cut a document into its pages again.
func separator(page int) string { return fmt.Sprintf("<!-- page %d -->\n", page) }

// missing is the visible mark in the place of a page that is not there.
func missing(page int, class failure.Class, message string) string {
	return fmt.Sprintf("> **Page %d is missing**: %s, %s\n", page, class, plain(message))
}

// maxPlain bounds, in runes, the message in a mark.
const maxPlain = 300

var special = regexp.MustCompile("[\\\\`*_{}\\[\\]<>&#|~]")

// plain is a text on one line that Markdown does not interpret.
func plain(message string) string {
	line := strings.Join(strings.Fields(message), " ")
	if runes := []rune(line); len(runes) > maxPlain {
		line = string(runes[:maxPlain]) + "…"
	}
	return special.ReplaceAllString(line, `\$0`)
}

// body is the text of a page as it goes into a document: without blank lines around it, with no separator of its own, and ending every
// block it begins, so that the next page (or the mark that it is missing) can't disappear in a code block left open.
func body(markdown string) string {
	lines := strings.TrimRight(strings.ReplaceAll(markdown, "\r\n", "\n"), " \t\r\n")
	for {
		first, rest, more := strings.Cut(lines, "\n")
		if strings.TrimSpace(first) != "" || !more {
			break
		}
		lines = rest
	}
	if lines == "" {
		return ""
	}
	lines = strings.ReplaceAll(lines, "<!-- page ", "&lt;!-- page ")
	return finished(lines) + "\n"
}

// maxChecked bounds, in bytes, the pages whose blocks are checked: a page of text has some kilobytes.
const maxChecked = 1 << 20

var (
	mayStayOpen = regexp.MustCompile("(?m)^ {0,3}(```|~~~|<[!?]|<(?i:script|pre|style|textarea))")
	fences      = regexp.MustCompile("(?m)^ {0,3}(`{3,}|~{3,})")
	blocks      = parser.NewParser(parser.WithBlockParsers(parser.DefaultBlockParsers()...))
)

// finished ends the block that a page leaves open, if it does.
func finished(page string) string {
	if len(page) > maxChecked || !mayStayOpen.MatchString(page) || endsBlocks(page) {
		return page
	}
	ends := []string{"-->", "?>", ">", "]]>", "</pre>", "</script>", "</style>", "</textarea>"}
	longest := map[byte]string{}
	for _, f := range fences.FindAllStringSubmatch(page, -1) {
		if kind := f[1][0]; len(f[1]) > len(longest[kind]) {
			longest[kind] = f[1]
		}
	}
	for _, fence := range longest {
		ends = append([]string{fence}, ends...)
	}
	for _, end := range ends {
		if closed := page + "\n" + end; endsBlocks(closed) {
			return closed
		}
	}
	return page
}

// endsBlocks reports whether a separator after the page is seen as one.
func endsBlocks(page string) bool {
	const probe = "<!-- probe -->"
	source := []byte(page + "\n\n" + probe + "\n")
	last := blocks.Parse(text.NewReader(source)).LastChild()
	if last == nil || last.Kind() != ast.KindHTMLBlock || last.Lines().Len() == 0 {
		return false
	}
	segment := last.Lines().At(0)
	return strings.TrimSpace(string(segment.Value(source))) == probe
}
