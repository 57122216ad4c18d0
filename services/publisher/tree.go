package publisher

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/event"
)

// openTag is the beginning of a heading in HTML.
var openTag = regexp.MustCompile(`<h[1-6]`)

// sections carries from page to page which headings a block stands below: marker starts anew with each range.
type sections struct {
	levels levels
	seen   map[string]bool
	below  map[int]string // ids of headings by level
}

func newSections(l levels) *sections {
	return &sections{levels: l, seen: map[string]bool{}, below: map[int]string{}}
}

// part is a block of marker's tree, or a chunk, of which everything is kept.
type part map[string]json.RawMessage

// What is read of a part.
const (
	partID       = "id"
	partHTML     = "html"
	partChildren = "children"
	partSections = "section_hierarchy"
)

// walk gives a block, and those in it, their sections, and headings their levels.
func (s *sections) walk(p part, sizes map[string]float64) error {
	var id, html string
	var own map[int]string
	var children []part
	for name, into := range map[string]any{partID: &id, partHTML: &html, partChildren: &children, partSections: &own} {
		if data, ok := p[name]; ok {
			if err := json.Unmarshal(data, into); err != nil {
				return fmt.Errorf("%s of a block: %w", name, err)
			}
		}
	}
	for _, child := range children {
		if err := s.walk(child, sizes); err != nil {
			return err
		}
	}
	var err error
	if len(children) > 0 {
		if p[partChildren], err = marshal(children); err != nil {
			return err
		}
	}
	if size, ok := sizes[id]; ok {
		if p[partHTML], err = marshal(releveled(html, s.levels.of(size))); err != nil {
			return err
		}
	}
	if own != nil {
		s.enter(own, sizes)
		p[partSections], err = marshal(s.below)
	}
	return err
}

// enter notes the headings that marker says a block stands below, as far as they are new: a heading stands below itself, a group below those in it.
func (s *sections) enter(own map[int]string, sizes map[string]float64) {
	for _, level := range slices.Sorted(maps.Keys(own)) {
		id := own[level]
		if s.seen[id] {
			continue
		}
		s.seen[id] = true
		if size, ok := sizes[id]; ok {
			level = s.levels.of(size)
		}
		maps.DeleteFunc(s.below, func(l int, _ string) bool { return l >= level })
		s.below[level] = id
	}
}

// releveled is the HTML of a heading with another level.
func releveled(html string, level int) string {
	old := openTag.FindString(html)
	if old == "" {
		return html
	}
	tag := string(rune('0' + level))
	html = strings.Replace(html, old, "<h"+tag, 1)
	return strings.Replace(html, "</"+old[1:]+">", "</h"+tag+">", 1)
}

// sizesOf are the sizes of a page's headings by block.
func sizesOf(headings []event.Heading) map[string]float64 {
	sizes := make(map[string]float64, len(headings))
	for _, h := range headings {
		if h.Block != "" {
			sizes[h.Block] = h.Size
		}
	}
	return sizes
}

// marshal leaves < and > as they are: HTML in JSON stays readable.
func marshal(value any) (json.RawMessage, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return bytes.TrimRight(out.Bytes(), "\n"), err
}
