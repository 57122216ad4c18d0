package validator

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// sniffBytes is how much of each end of a file is looked at outside the sandbox.
const sniffBytes = 64 << 10

// sight is what the two ends of a file show, without anything being parsed.
type sight struct {
	size     int64
	header   int  // where %PDF- is; -1: nowhere in the head
	ended    bool // an end-of-file mark is where it should be
	xref     bool // … and a startxref before it
	media    string
	mentions bool // %PDF- is there, but in the text of something else
}

func sniff(size int64, head, end []byte) sight {
	media := mimetype.Detect(head)
	s := sight{
		size: size, header: bytes.Index(head, []byte("%PDF-")), media: media.String(),
		ended: bytes.Contains(end, []byte("%%EOF")), xref: bytes.Contains(end, []byte("startxref")),
	}
	s.mentions = s.header > 0 && !media.Is("application/pdf") && !media.Is("text/plain") && !media.Is("application/octet-stream")
	return s
}

// disguised reports whether the file is something else that merely mentions %PDF-.
func (s sight) disguised() bool { return s.mentions }

// names of what people most often take for a PDF.
var names = []struct{ prefix, name string }{
	{"text/html", "a web page (HTML), perhaps the error page of a download"},
	{"text/xml", "an XML file"},
	{"text/plain", "plain text"},
	{"application/vnd.openxmlformats-officedocument", "an Office document"},
	{"application/msword", "an old Word document"},
	{"application/x-ole-storage", "an old Office document"},
	{"application/zip", "a ZIP archive (or an Office document)"},
	{"application/gzip", "gzip-compressed data (a PDF inside must be unpacked first)"},
	{"application/postscript", "PostScript"},
	{"image/", "an image"},
	{"application/octet-stream", "data of no known kind"},
}

// kind names what the file is.
func (s sight) kind() string {
	for _, n := range names {
		if strings.HasPrefix(s.media, n.prefix) {
			if n.prefix == "image/" || strings.HasPrefix(n.prefix, "application/vnd") {
				return n.name + " (" + s.media + ")"
			}
			return n.name
		}
	}
	return s.media
}

// damage says what is visibly wrong with a file that has a header and does not open.
func (s sight) damage() string {
	switch {
	case s.header > 1024:
		return fmt.Sprintf("its header %%PDF- is at byte %d, beyond the 1024 where readers look for it", s.header)
	case s.size < 64:
		return fmt.Sprintf("it has a header and nothing else (%d bytes)", s.size)
	case !s.ended && !s.xref:
		return fmt.Sprintf("it is cut off: after %d bytes there is neither a cross-reference table nor an end-of-file mark", s.size)
	case !s.ended:
		return fmt.Sprintf("it is cut off: no end-of-file mark after %d bytes", s.size)
	case !s.xref:
		return "its cross-reference table can't be found"
	}
	return "its structure is damaged: cross-reference table, page tree or encryption dictionary can't be read"
}
