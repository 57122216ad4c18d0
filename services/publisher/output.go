package publisher

import (
	"bufio"
	"encoding/json"
	"fmt"
	"html"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
)

// form is how pages become one document: a file of its own kind for each output. Pages come in order, between begin and end; what w refuses it tells when it is
// flushed.
type form interface {
	file() (name, mediaType string)
	begin(w *bufio.Writer)
	// page writes a page: text is what the engine made of it, "" when it failed; headings are those of it whose level is to be given.
	page(w *bufio.Writer, p Page, text string, headings []event.Heading) error
	end(w *bufio.Writer)
}

// formOf returns the form of an output. With marks Markdown has a separator before each page.
func formOf(output string, l levels, marks bool) form {
	switch output {
	case job.OutputJSON:
		return &tree{sections: newSections(l)}
	case job.OutputHTML:
		return site{levels: l}
	case job.OutputChunks:
		return &list{sections: newSections(l), info: []byte{'{'}}
	}
	return &markdown{levels: l, marks: marks}
}

// markdown may have a separator before each page, see markdown.go.
type markdown struct {
	levels levels
	marks  bool
	begun  bool
}

func (*markdown) file() (string, string) { return "document.md", "text/markdown; charset=utf-8" }
func (*markdown) begin(*bufio.Writer)    {}
func (*markdown) end(*bufio.Writer)      {}

func (m *markdown) page(w *bufio.Writer, p Page, source string, headings []event.Heading) error {
	if m.begun {
		_ = w.WriteByte('\n')
	}
	m.begun = true
	if m.marks {
		_, _ = w.WriteString(separator(p.Page) + "\n")
	}
	text := body(m.levels.inMarkdown(source, headings))
	if p.Status == event.PageFailed {
		text = missing(p.Page, p.Class, p.Message)
	}
	_, _ = w.WriteString(text)
	return nil
}

// site is one HTML document, whose body has a division for each page: as marker writes it, with pages numbered from 0.
type site struct{ levels levels }

func (site) file() (string, string) { return "document.html", "text/html; charset=utf-8" }

func (site) begin(w *bufio.Writer) {
	_, _ = w.WriteString("<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\"/>\n</head>\n<body>\n")
}

func (s site) page(w *bufio.Writer, p Page, text string, headings []event.Heading) error {
	text = s.levels.inHTML(text, headings)
	if p.Status == event.PageFailed {
		text = sorry(p)
	}
	_, _ = fmt.Fprintf(w, "<div class=\"page\" data-page-id=\"%d\">\n%s\n</div>\n", p.Page-1, strings.TrimSpace(text))
	return nil
}

func (site) end(w *bufio.Writer) { _, _ = w.WriteString("</body>\n</html>\n") }

// sorry is the mark of a page that is not there, in HTML.
func sorry(p Page) string {
	return fmt.Sprintf("<blockquote><p><strong>Page %d is missing</strong>: %s, %s</p></blockquote>", p.Page, p.Class, html.EscapeString(p.Message))
}

// tree is marker's JSON: the document's children are its pages, each a tree of blocks, whose ids say the page.
type tree struct {
	sections *sections
	begun    bool
}

func (*tree) file() (string, string) { return "document.json", "application/json" }
func (*tree) begin(w *bufio.Writer)  { _, _ = w.WriteString(`{"children":[`) }
func (*tree) end(w *bufio.Writer) {
	_, _ = w.WriteString("\n],\"block_type\":\"Document\",\"metadata\":{}}\n")
}

// block is a block of marker's that says that its page is not there.
type block struct {
	ID       string      `json:"id"`
	Type     string      `json:"block_type"`
	HTML     string      `json:"html"`
	Page     *int        `json:"page,omitempty"` // from 0; of a chunk
	Polygon  [][]float64 `json:"polygon"`
	Box      []float64   `json:"bbox"`
	Children []block     `json:"children,omitempty"`
}

func missingBlock(p Page, kind string) block {
	return block{ID: fmt.Sprintf("/page/%d/%s/0", p.Page-1, kind), Type: kind, HTML: sorry(p), Polygon: [][]float64{}, Box: []float64{}}
}

func (t *tree) page(w *bufio.Writer, p Page, text string, headings []event.Heading) error {
	var data json.RawMessage
	if p.Status == event.PageFailed {
		data = marshalled(missingBlock(p, "Page"))
	} else {
		page := part(nil)
		err := json.Unmarshal([]byte(text), &page)
		if err != nil || page == nil || t.sections.walk(page, sizesOf(headings)) != nil {
			return unreadable(p, "an object")
		}
		if data, err = marshal(page); err != nil {
			return err
		}
	}
	if t.begun {
		_ = w.WriteByte(',')
	}
	t.begun = true
	_ = w.WriteByte('\n')
	_, _ = w.Write(data)
	return nil
}

// list is marker's chunks: the blocks of all pages in one list, and beside it the size of each page.
type list struct {
	sections *sections
	begun    bool
	info     []byte // of the pages so far, an object without its end
}

func (*list) file() (string, string) { return "chunks.json", "application/json" }
func (*list) begin(w *bufio.Writer)  { _, _ = w.WriteString(`{"blocks":[`) }

func (l *list) page(w *bufio.Writer, p Page, text string, headings []event.Heading) error {
	var page struct {
		Blocks []part          `json:"blocks"`
		Info   json.RawMessage `json:"page_info"`
	}
	var blocks []json.RawMessage
	if p.Status == event.PageFailed {
		one, number := missingBlock(p, "Text"), p.Page-1
		one.Page = &number
		blocks = []json.RawMessage{marshalled(one)}
	} else if err := json.Unmarshal([]byte(text), &page); err != nil || page.Blocks == nil {
		return unreadable(p, "an object with blocks")
	}
	sizes := sizesOf(headings)
	for _, block := range page.Blocks {
		if err := l.sections.walk(block, sizes); err != nil {
			return unreadable(p, "an object with blocks")
		}
		data, err := marshal(block)
		if err != nil {
			return err
		}
		blocks = append(blocks, data)
	}
	for _, block := range blocks {
		if l.begun {
			_ = w.WriteByte(',')
		}
		l.begun = true
		_ = w.WriteByte('\n')
		_, _ = w.Write(block)
	}
	if len(page.Info) > 0 {
		if len(l.info) > 1 {
			l.info = append(l.info, ',')
		}
		l.info = append(fmt.Appendf(l.info, `"%d":`, p.Page-1), page.Info...)
	}
	return nil
}

func (l *list) end(w *bufio.Writer) {
	_, _ = fmt.Fprintf(w, "\n],\"page_info\":%s},\"metadata\":{}}\n", l.info)
}

func unreadable(p Page, want string) error {
	return failure.Newf(failure.EngineError, "join page", fmt.Sprint(p.Page), "what the engine wrote is not JSON of %s", want)
}

func marshalled(b block) json.RawMessage {
	data, _ := json.Marshal(b) // plain values always marshal
	return data
}
