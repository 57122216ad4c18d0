package validator_test

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pdf is a document under construction: objects 1 and 2 are the catalog and the page tree, pages follow from 10 on.
type pdf struct {
	catalog string
	pages   []string          // what is in each page's dictionary
	objects map[int]string    // others, by number
	streams map[int][2]string // dictionary and content, by number
}

// page is the dictionary of a page of that size with content in the stream of that number.
func page(width, height, content int) string {
	return fmt.Sprintf("/MediaBox[0 0 %d %d]/Contents %d 0 R/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>", width, height, content)
}

func (p pdf) bytes() []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n")
	kids := ""
	for i, entries := range p.pages {
		kids += fmt.Sprintf("%d 0 R ", 10+i)
		if entries != "" {
			fmt.Fprintf(&b, "%d 0 obj<</Type/Page/Parent 2 0 R%s>>endobj\n", 10+i, entries)
		}
	}
	fmt.Fprintf(&b, "1 0 obj<</Type/Catalog/Pages 2 0 R%s>>endobj\n2 0 obj<</Type/Pages/Kids[%s]/Count %d>>endobj\n", p.catalog, kids, len(p.pages))
	for n, body := range p.objects {
		fmt.Fprintf(&b, "%d 0 obj%s endobj\n", n, body)
	}
	for n, s := range p.streams {
		packed := deflate(s[1])
		fmt.Fprintf(&b, "%d 0 obj<<%s/Length %d/Filter/FlateDecode>>stream\n%s\nendstream endobj\n", n, s[0], len(packed), packed)
	}
	b.WriteString("trailer<</Root 1 0 R/Size 2000>>\n%%EOF\n")
	return b.Bytes()
}

func (p pdf) write(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, p.bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func deflate(text string) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// says is content that shows a text.
func says(text string) [2]string { return [2]string{"", "BT /F1 12 Tf 10 50 Td (" + text + ") Tj ET"} }

// plain is a document of so many ordinary pages.
func plain(pages int) pdf {
	p := pdf{streams: map[int][2]string{1000: says("Hello, mill")}}
	for range pages {
		p.pages = append(p.pages, page(300, 100, 1000))
	}
	return p
}

// noise is text that hardly compresses.
func noise(bytes int) string {
	var b strings.Builder
	for x := uint32(1); b.Len() < bytes; {
		x = x*1664525 + 1013904223
		fmt.Fprintf(&b, "%d %d m %d %d l S\n", x>>24, x>>16&0xff, x>>8&0xff, x&0xff)
	}
	return b.String()
}
