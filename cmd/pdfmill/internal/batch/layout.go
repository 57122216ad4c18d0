package batch

import (
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/layout"
)

// Layout is how output lies in the directory.
//
//	flat     DIR/<stem>.md, DIR/<stem>_images/page-0007-01.png, DIR/<stem>_debug/layout_page_6.png
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
	if l != LayoutMarker {
		return ours
	}
	return layout.Image(ours)
}

// debug is the folder of a document's debug output, below the directory.
func (l Layout) debug(stem string) string {
	if l == LayoutMarker {
		return stem
	}
	return stem + debugSuffix
}

var (
	pageMark  = regexp.MustCompile(`(?m)^<!-- page (\d+) -->$`)
	pageMarks = regexp.MustCompile(`(?m)^<!-- page \d+ -->\n\n?`)
)

// text is a document as the layout has it: in marker's nothing stands between pages.
func (l Layout) text(doc []byte, ext string) []byte {
	if l != LayoutMarker || ext != markdownSuffix {
		return doc
	}
	return []byte(strings.TrimSpace(pageMarks.ReplaceAllString(string(doc), "")))
}

// madePage is a page of a manifest.
type madePage struct {
	Page   int    `json:"page"`
	Engine string `json:"engine"`
}

// metadata describes a document that marker did not make: by its headings, where it is Markdown, and by who made which page.
func metadata(doc []byte, ext string, pages []madePage) ([]byte, error) {
	texts := map[int]string{}
	if ext == markdownSuffix {
		marks := pageMark.FindAllSubmatchIndex(doc, -1)
		for i, at := range marks {
			end := len(doc)
			if i+1 < len(marks) {
				end = marks[i+1][0]
			}
			page, _ := strconv.Atoi(string(doc[at[2]:at[3]])) // digits
			texts[page] = string(doc[at[1]:end])
		}
	}
	var m layout.Meta
	for _, p := range pages {
		m.Add(p.Page, nil, nil, p.Engine, texts[p.Page])
	}
	return m.JSON()
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
