package validator

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"github.com/pdfmill/pdfmill/pipeline/failure"
)

const (
	// sniffBytes is how much of each end of a file is looked at outside the sandbox.
	sniffBytes = 64 << 10
	// headerBytes is where readers look for the header.
	headerBytes = 1024
)

// sight is what the two ends of a file show, without anything being parsed.
type sight struct {
	size      int64
	header    int   // where %PDF- is; -1: nowhere in the head
	ended     bool  // an end-of-file mark is where it should be
	startxref int64 // what the last startxref says; -1: there is none
	zeros     int64 // bytes at the end that are zero, as far as was looked
	media     string
	blank     bool // all of the head is zero
	mentions  bool // %PDF- is there, but in the text of something else
	archive   bool // it holds other files, of which a PDF may be one
	ends      [2][]byte
}

// sniffFile reads both ends of a file.
func sniffFile(path string) (sight, error) {
	trouble := func(err error) error {
		return failure.New(failure.Unhealthy, "read document", path, err)
	}
	file, err := os.Open(path)
	if err != nil {
		return sight{}, trouble(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return sight{}, trouble(err)
	}
	if !info.Mode().IsRegular() {
		return sight{}, trouble(fmt.Errorf("it is not a regular file"))
	}
	head := make([]byte, min(info.Size(), sniffBytes))
	if _, err := io.ReadFull(file, head); err != nil {
		return sight{}, trouble(err)
	}
	end := make([]byte, min(info.Size(), sniffBytes))
	if _, err := file.ReadAt(end, info.Size()-int64(len(end))); err != nil && !errors.Is(err, io.EOF) {
		return sight{}, trouble(err)
	}
	return sniff(info.Size(), head, end), nil
}

func sniff(size int64, head, end []byte) sight {
	header := bytes.Index(head, []byte("%PDF-"))
	media := mimetype.Detect(head[:max(header, 0)]) // what comes before a header that is not at the beginning says whose it is
	if header <= 0 {
		media = mimetype.Detect(head)
	}
	s := sight{
		size: size, header: header, media: media.String(), ended: bytes.Contains(end, []byte("%%EOF")),
		startxref: -1, zeros: int64(len(end) - len(bytes.TrimRight(end, "\x00"))), ends: [2][]byte{head, end},
	}
	if at := bytes.LastIndex(end, []byte("startxref")); at >= 0 {
		s.startxref = number(end[at+len("startxref"):])
	}
	for _, kind := range []string{"application/zip", "application/x-tar", "message/rfc822", "application/x-ole-storage"} {
		for m := media; m != nil && !s.archive; m = m.Parent() {
			s.archive = header > 0 && m.Is(kind)
		}
	}
	s.blank = len(bytes.Trim(head, "\x00")) == 0
	s.mentions = header > 0 && !media.Is("text/plain") && !media.Is("application/octet-stream")
	return s
}

// number reads the digits after white space; without any it is 0.
func number(text []byte) int64 {
	text = bytes.TrimLeft(text[:min(len(text), 64)], " \t\r\n\f\x00")
	digits := text[:len(text)-len(bytes.TrimLeft(text, "0123456789"))]
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// disguised reports whether the file is something else that merely mentions %PDF-.
func (s sight) disguised() bool { return s.mentions }

// names of what people most often take for a PDF.
var names = []struct{ prefix, name string }{
	{"text/html", "a web page (HTML), perhaps the error page of a download"},
	{"text/xml", "an XML file"},
	{"text/plain", "plain text"},
	{"application/json", "JSON, perhaps the error message of a download"},
	{"application/vnd.openxmlformats-officedocument", "an Office document"},
	{"application/msword", "an old Word document"},
	{"application/x-ole-storage", "an old Office document"},
	{"application/zip", "a ZIP archive (or an Office document)"},
	{"application/gzip", "gzip-compressed data (a PDF inside must be unpacked first)"},
	{"application/postscript", "PostScript"},
	{"application/vnd.microsoft.portable-executable", "a Windows program"},
	{"application/x-elf", "a program"},
	{"application/x-7z-compressed", "a 7z archive"},
	{"application/x-rar-compressed", "a RAR archive"},
	{"application/x-tar", "a tar archive"},
	{"application/x-bzip2", "bzip2-compressed data (a PDF inside must be unpacked first)"},
	{"application/x-xz", "xz-compressed data (a PDF inside must be unpacked first)"},
	{"application/zstd", "zstd-compressed data (a PDF inside must be unpacked first)"},
	{"message/rfc822", "an e-mail (a PDF attached to it must be saved first)"},
	{"text/rtf", "an RTF document"},
	{"text/csv", "a CSV table"},
	{"image/", "an image"},
	{"application/octet-stream", "data of no known kind"},
}

// kind names what the file is.
func (s sight) kind() string {
	if s.blank {
		return "nothing but zero bytes at its beginning, as after an upload that stopped or on a disk that lost data"
	}
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

// cut reports whether the end is visibly missing: there is neither where the document ends nor where its tables are.
func (s sight) cut() bool { return !s.ended && s.startxref < 0 }

// damage says what is visibly wrong, and where, with a file that has a header and does not open.
func (s sight) damage() string {
	switch {
	case s.header > headerBytes:
		return fmt.Sprintf("its header %%PDF- is at byte %d, beyond the %d where readers look for it", s.header, headerBytes)
	case s.size < 64:
		return fmt.Sprintf("it has a header and nothing else (%d bytes)", s.size)
	case s.zeros >= 1024:
		return fmt.Sprintf("it is cut off: from byte %d on it is all zero, as after an upload that stopped", s.size-s.zeros)
	case s.cut():
		return fmt.Sprintf("it is cut off at byte %d: there is neither a cross-reference table nor an end-of-file mark", s.size)
	case !s.ended:
		return fmt.Sprintf("it is cut off at byte %d: there is no end-of-file mark", s.size)
	case s.startxref < 0:
		return "its cross-reference table can't be found: no startxref says where it is"
	case s.startxref >= s.size:
		return fmt.Sprintf("its cross-reference table should be at byte %d, but it ends at byte %d, and it can't be rebuilt", s.startxref, s.size)
	}
	return fmt.Sprintf("its structure is damaged: the cross-reference table (said to be at byte %d), the page tree or the encryption dictionary can't be read", s.startxref)
}

var (
	filterName   = regexp.MustCompile(`/Filter\s*/([A-Za-z0-9._]{1,64})`)
	standardV    = regexp.MustCompile(`/Filter\s*/Standard\b[^>]{0,400}?/V\s+(\d{1,3})|/V\s+(\d{1,3})\b[^>]{0,400}?/Filter\s*/Standard\b`)
	streamFilter = map[string]bool{
		"ASCIIHexDecode": true, "ASCII85Decode": true, "LZWDecode": true, "FlateDecode": true, "RunLengthDecode": true, "CCITTFaxDecode": true,
		"JBIG2Decode": true, "DCTDecode": true, "JPXDecode": true, "Crypt": true, "AHx": true, "A85": true, "LZW": true, "Fl": true, "RL": true,
		"CCF": true, "DCT": true, "Standard": true,
	}
)

// handler names the security handler of a document that has one of its own kind, as far as it stands in what was read.
func (s sight) handler() string {
	for _, end := range s.ends {
		for _, m := range filterName.FindAllSubmatch(end, 64) {
			if !streamFilter[string(m[1])] {
				return "the security handler " + string(m[1])
			}
		}
	}
	if v := s.encryption(); v != "" {
		return v
	}
	return "a security handler"
}

// encryption names a version of the standard handler that nobody knows, or is "".
func (s sight) encryption() string {
	for _, end := range s.ends {
		if m := standardV.FindSubmatch(end); m != nil {
			v := string(m[1]) + string(m[2])
			if n, err := strconv.Atoi(v); err == nil && (n < 1 || n > 5) {
				return "version " + v + " of the standard security handler"
			}
		}
	}
	return ""
}
