package publisher

import (
	"path"

	"github.com/pdfmill/pdfmill/pipeline/layout"
)

// Layouts of a revision in the store.
const (
	LayoutOwn    = "pdfmill"
	LayoutMarker = "marker"
)

// place says where the parts of a product lie below its revision's folder.
//
//	pdfmill  document.md  images/page-0007-Figure-5.jpg  meta.json  debug/layout_page_6.png
//	marker   <stem>/<stem>.md  <stem>/_page_6_Figure_5.jpeg  <stem>/<stem>_meta.json  <stem>/layout_page_6.png
type place struct{ stem string } // "": pdfmill's

func placeOf(layoutName, source string) place {
	if layoutName != LayoutMarker {
		return place{}
	}
	return place{stem: layout.Stem(source)}
}

// marker reports whether it is the layout of marker's own command.
func (p place) marker() bool { return p.stem != "" }

// document is the name of the document, by what it is called in pdfmill's layout.
func (p place) document(own string) string {
	if p.marker() {
		return p.stem + "/" + p.stem + path.Ext(own)
	}
	return own
}

// image is the name of an image: images/NAME in pdfmill's layout.
func (p place) image(own string) string {
	if p.marker() {
		return p.stem + "/" + layout.Image(path.Base(own))
	}
	return own
}

// meta is the name of what marker says about the document.
func (p place) meta() string {
	if p.marker() {
		return p.stem + "/" + p.stem + "_meta.json"
	}
	return "meta.json"
}

// debug is the name of a file of marker's debug output: debug/NAME in pdfmill's layout.
func (p place) debug(own string) string {
	if p.marker() {
		return p.stem + "/" + path.Base(own)
	}
	return own
}
