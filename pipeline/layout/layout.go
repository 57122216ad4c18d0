// Package layout says how marker's own command lays its output out, for whoever writes it so: names of files, and what it says about a document.
//
//	<stem>/<stem>.md  <stem>/<stem>_meta.json  <stem>/_page_6_Picture_1.jpeg
package layout

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxStem leaves room in a file name (255 bytes on every common file system) for what is added to it.
const maxStem = 200

// Stem is the base name of a document without .pdf, fit to be part of a file name.
func Stem(name string) string {
	base := path.Base(name)
	if ext := path.Ext(base); strings.EqualFold(ext, ".pdf") {
		base = strings.TrimSuffix(base, ext)
	}
	for len(base) > maxStem {
		_, size := utf8.DecodeLastRuneInString(base)
		base = base[:len(base)-size]
	}
	if strings.Trim(base, "./") == "" {
		return "document"
	}
	return base
}

var imageName = regexp.MustCompile(`^page-(\d+)-(?:([A-Za-z]+)-)?(\d+)\.(\w+)$`)

// Image is marker's name of an image, by ours: page-0007-Figure-5.jpg is _page_6_Figure_5.jpeg. Other names stay.
func Image(ours string) string {
	parts := imageName.FindStringSubmatch(ours)
	if parts == nil {
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
