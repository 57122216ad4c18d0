package sandbox

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"os"
)

const (
	// measured is the smallest stream, in bytes as it is stored, that is looked at.
	measured = 4 << 10
	// dictBytes is how far before the word "stream" the description of a stream is looked for.
	dictBytes = 2 << 10
	// maxLayers is how many compressions one stream may have on top of each other before nobody follows.
	maxLayers = 4
)

var errTooLarge = errors.New("the stream inflates to more than a page may have")

// meter is the file that PDFium reads from, stream by stream. Each stream is inflated here first, outside of PDFium, through one small buffer: one that takes the
// content of a page beyond its bound is not handed over. Images are, their size is their pixels; and so is what can't be inflated: encrypted
// streams, other filters.
type meter struct {
	file  *os.File
	size  int64
	bound int64 // bytes that may come out of the streams between two calls of reset
	pos   int64

	content int64 // bytes that came out since reset
	shown   int64 // of them, those between the brackets of strings: no fewer than the characters that a page shows
	over    bool  // the bound was broken since reset
	opened  bool  // pages are read; before, all that PDFium inflates are the tables of the document, each by itself
}

// reset begins with another page.
func (m *meter) reset() { m.content, m.shown, m.over, m.opened = 0, 0, false, true }

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.file.ReadAt(p, m.pos)
	if n >= measured && m.bound > 0 {
		m.measure(p[:n])
		if m.over {
			return 0, errTooLarge
		}
	}
	m.pos += int64(n)
	return n, err
}

// Seek implements io.Seeker.
func (m *meter) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		m.pos = offset
	case io.SeekCurrent:
		m.pos += offset
	case io.SeekEnd:
		m.pos = m.size + offset
	}
	if m.pos < 0 {
		return 0, errors.New("seek before the beginning")
	}
	return m.pos, nil
}

// measure inflates data that was read at m.pos, if that is where a compressed stream begins.
func (m *meter) measure(data []byte) {
	head := make([]byte, min(m.pos, dictBytes))
	if _, err := m.file.ReadAt(head, m.pos-int64(len(head))); err != nil {
		return // PDFium will not get it either
	}
	head, ok := bytes.CutSuffix(bytes.TrimRight(head, "\r\n"), []byte("stream"))
	if !ok {
		return
	}
	if cut := bytes.LastIndex(head, []byte("obj")); cut >= 0 {
		head = head[cut:]
	}
	if tables := bytes.Contains(head, []byte("/ObjStm")) || bytes.Contains(head, []byte("/XRef")); !m.opened && !tables {
		return
	}
	layers := bytes.Count(head, []byte("/FlateDecode")) + bytes.Count(head, []byte("/Fl ")) + bytes.Count(head, []byte("/Fl]")) + bytes.Count(head, []byte("/Fl/"))
	if layers == 0 || bytes.Contains(head, []byte("/Image")) {
		return
	}
	var strings brackets
	m.content += inflate(bytes.NewReader(data), min(layers, maxLayers), m.bound-m.content+1, &strings)
	m.over = m.over || m.content > m.bound
	if !m.opened {
		m.content = 0
	}
	if !bytes.Contains(head, []byte("/ObjStm")) && !bytes.Contains(head, []byte("/Length1")) && !bytes.Contains(head, []byte("/FontFile")) {
		m.shown += strings.inside
	}
}

// inflate counts the bytes that come out of layers of compression, up to bound, and shows them to w.
func inflate(body io.Reader, layers int, bound int64, w io.Writer) int64 {
	for range layers {
		z, err := zlib.NewReader(body)
		if err != nil {
			break // not what its description says
		}
		body = z
	}
	n, _ := io.CopyN(w, body, bound) // damaged data counts as far as it goes
	return n
}

// brackets counts the bytes within (literal strings), not minding how deep, and half of those within <hexadecimal ones>. It only estimates: what is not a content
// stream makes it count nonsense.
type brackets struct {
	inside  int64
	depth   int
	hex     bool
	digits  int64
	escaped bool
}

func (b *brackets) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case b.escaped:
			b.escaped = false
			b.inside++
		case b.depth > 0:
			switch c {
			case '\\':
				b.escaped = true
			case '(':
				b.depth++
				b.inside++
			case ')':
				b.depth--
			default:
				b.inside++
			}
		case b.hex:
			if c == '>' {
				b.hex = false
				b.inside += b.digits / 2
			} else {
				b.digits++
			}
		case c == '(':
			b.depth = 1
		case c == '<':
			b.hex, b.digits = true, 0
		}
	}
	return len(p), nil
}
