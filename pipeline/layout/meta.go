package layout

import (
	"encoding/json"
	"regexp"
	"strings"
)

// Meta is marker's <stem>_meta.json.
type Meta struct {
	Contents []json.RawMessage `json:"table_of_contents"`
	Pages    []json.RawMessage `json:"page_stats"`
}

// heading is an entry of the contents, as far as it is known of a page that marker did not make.
type heading struct {
	Title   string       `json:"title"`
	Level   int          `json:"heading_level"`
	PageID  int          `json:"page_id"` // from 0
	Polygon *[][]float64 `json:"polygon"` // not known
}

// stat is what is known of such a page.
type stat struct {
	PageID int            `json:"page_id"` // from 0
	Method string         `json:"text_extraction_method"`
	Counts [][]any        `json:"block_counts"`
	Blocks map[string]any `json:"block_metadata"`
}

// Add appends a page (from 1): what marker says about it or, where contents or stats are missing, what its Markdown and the engine that made it tell.
func (m *Meta) Add(page int, contents, stats json.RawMessage, engine, markdown string) {
	var known []json.RawMessage
	if contents == nil || json.Unmarshal(contents, &known) != nil {
		known = nil
		for _, h := range headings(markdown) {
			h.PageID = page - 1
			known = append(known, raw(h))
		}
	}
	m.Contents = append(m.Contents, known...)
	if !json.Valid(stats) {
		stats = raw(stat{PageID: page - 1, Method: engine, Counts: [][]any{}, Blocks: map[string]any{}})
	}
	m.Pages = append(m.Pages, stats)
}

// JSON is the file, indented as marker writes it.
func (m Meta) JSON() ([]byte, error) {
	if m.Contents == nil {
		m.Contents = []json.RawMessage{}
	}
	if m.Pages == nil {
		m.Pages = []json.RawMessage{}
	}
	return json.MarshalIndent(m, "", "  ")
}

func raw(value any) json.RawMessage {
	data, _ := json.Marshal(value) // plain values always marshal
	return data
}

var headline = regexp.MustCompile(`^(#{1,6}) +(.+?)[ #]*$`)

// headings are those of a page, outside of code.
func headings(markdown string) []heading {
	var found []heading
	fence := ""
	for line := range strings.Lines(markdown) {
		line = strings.TrimRight(line, "\r\n")
		if mark := fenceOf(line); mark != "" {
			switch fence {
			case "":
				fence = mark
			case mark:
				fence = ""
			}
		} else if h := headline.FindStringSubmatch(line); h != nil && fence == "" {
			found = append(found, heading{Title: h[2], Level: len(h[1])})
		}
	}
	return found
}

func fenceOf(line string) string {
	for _, mark := range []string{"```", "~~~"} {
		if strings.HasPrefix(line, mark) {
			return mark
		}
	}
	return ""
}
