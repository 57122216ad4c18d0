package batch

import (
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/event"
)

// Layout is how output lies in the directory.
//
//	flat     DIR/<stem>.md, DIR/<stem>_images/page-0007-01.png
//	marker   DIR/<stem>/<stem>.md, <stem>_meta.json and _page_6_Picture_1.jpeg beside it, without marks between pages: as the command `marker` writes it
type Layout string

// The layouts.
const (
	LayoutFlat   Layout = "flat"
	LayoutMarker Layout = "marker"
)

// file is the path of a document below the directory; ext is that of its format.
func (l Layout) file(stem, ext string) string {
	if l == LayoutMarker {
		return filepath.Join(stem, stem+ext)
	}
	return stem + ext
}

// images is the folder of a document's images, below the directory.
func (l Layout) images(stem string) string {
	if l == LayoutMarker {
		return stem
	}
	return stem + imagesSuffix
}

// image is the name of an image in that folder; ours is that in the store.
func (l Layout) image(ours string) string {
	parts := imageName.FindStringSubmatch(ours)
	if l != LayoutMarker || parts == nil {
		return ours
	}
	page, _ := strconv.Atoi(parts[1]) // digits
	number, _ := strconv.Atoi(parts[3])
	kind, ext := parts[2], parts[4]
	if kind == "" {
		kind = "Picture"
	}
	if ext == "jpg" {
		ext = "jpeg"
	}
	return fmt.Sprintf("_page_%d_%s_%d.%s", page-1, kind, number, ext)
}

var (
	imageName = regexp.MustCompile(`^page-(\d+)-(?:([A-Za-z]+)-)?(\d+)\.(\w+)$`)
	pageMark  = regexp.MustCompile(`(?m)^<!-- page (\d+) -->$`)
	pageMarks = regexp.MustCompile(`(?m)^<!-- page \d+ -->\n\n?`)
	headline  = regexp.MustCompile(`^(#{1,6}) +(.+?)[ #]*$`)
)

// text is a document as the layout has it: in marker's nothing stands between pages.
func (l Layout) text(doc []byte, ext string) []byte {
	if l != LayoutMarker || ext != markdownSuffix {
		return doc
	}
	return []byte(strings.TrimSpace(pageMarks.ReplaceAllString(string(doc), "")))
}

// meta is marker's <stem>_meta.json, as far as it is known here.
type meta struct {
	Contents []heading  `json:"table_of_contents"`
	Pages    []pageStat `json:"page_stats"`
}

type heading struct {
	Title   string       `json:"title"`
	Level   *int         `json:"heading_level"`
	PageID  int          `json:"page_id"` // from 0
	Polygon *[][]float64 `json:"polygon"` // not known
}

type pageStat struct {
	PageID int            `json:"page_id"` // from 0
	Method string         `json:"text_extraction_method"`
	Counts [][]any        `json:"block_counts"`
	Blocks map[string]any `json:"block_metadata"`
}

// madePage is a page of a manifest.
type madePage struct {
	Page   int    `json:"page"`
	Engine string `json:"engine"`
}

// metadata describes a document: its headings, where it is Markdown, and who made which page.
func metadata(doc []byte, ext string, pages []madePage) ([]byte, error) {
	m := meta{Contents: []heading{}, Pages: []pageStat{}}
	if ext == markdownSuffix {
		m.Contents = contents(string(doc))
	}
	for _, p := range pages {
		m.Pages = append(m.Pages, pageStat{PageID: p.Page - 1, Method: p.Engine, Counts: [][]any{}, Blocks: map[string]any{}})
	}
	return json.MarshalIndent(m, "", "  ")
}

// contents are the headings of a document, outside of code.
func contents(doc string) []heading {
	found, page, fence := []heading{}, 0, ""
	for line := range strings.Lines(doc) {
		line = strings.TrimRight(line, "\r\n")
		if mark := fenceOf(line); mark != "" {
			switch fence {
			case "":
				fence = mark
			case mark:
				fence = ""
			}
			continue
		}
		if at := pageMark.FindStringSubmatch(line); at != nil {
			page, _ = strconv.Atoi(at[1]) // digits
			fence = ""                    // the publisher ends what a page leaves open
		} else if h := headline.FindStringSubmatch(line); h != nil && fence == "" {
			level := len(h[1])
			found = append(found, heading{Title: h[2], Level: &level, PageID: page - 1})
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

// relink points a document's links to its images at where they now lie.
func (l Layout) relink(text []byte, stem string, images []event.Image) []byte {
	folder := ""
	if l != LayoutMarker {
		folder = escaped(l.images(stem)) + "/"
	}
	pairs := make([]string, 0, 4*len(images))
	for _, image := range images {
		name := path.Base(image.Key)
		to := folder + l.image(name)
		pairs = append(pairs, "](images/"+name+")", "]("+to+")", `src="images/`+name+`"`, `src="`+to+`"`)
	}
	return []byte(strings.NewReplacer(pairs...).Replace(string(text)))
}
