package sandbox

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"os"
)

const (
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
	inflater *inflater
	file     *os.File
	size     int64
	chars    int   // that a page may show
	bound    int64 // bytes that may come out of the streams between two calls of reset
	pos      int64

	content int64 // bytes that came out since reset
	shown   int64 // of them, those between the brackets of strings: about as many as the characters of a page
	uses    int   // of forms and images, by the content of the page, since reset
	texts   int   // operators that show text, since reset
	over    bool  // the bound was broken since reset
	opened  bool  // pages are read; before, all that PDFium inflates are the tables of the document, each by itself

	// PDFium reads a form once, and later pages use it as well: these are of the whole document.
	nested    int   // uses by the content of forms
	formShown int64 // the most that is shown by one form
	blind     bool  // something could not be measured
}

// reset begins with another page.
func (m *meter) reset() {
	m.content, m.shown, m.uses, m.texts, m.over, m.opened = 0, 0, 0, 0, false, true
}

// crowded reports whether the page shows so much text that PDFium would take long to find that out. A stream that is no content, and makes the meter count
// nonsense, does not show it in so many pieces.
func (m *meter) crowded() bool {
	const pieces, times = 10_000, 2
	return m.texts > pieces && m.shown > times*int64(m.chars)
}

const (
	// maxUses is how many uses of forms are followed, maxCopies how often they can repeat a form however they are nested: three by three by two.
	maxUses   = 8
	maxCopies = 18
)

// most returns how many characters the page may show at most, and whether that is known at all.
func (m *meter) most() (chars int64, known bool) {
	return (m.shown + m.formShown) * maxCopies, !m.blind && m.uses+m.nested <= maxUses
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.file.ReadAt(p, m.pos)
	if n > 0 && m.bound > 0 {
		m.measure(p[:n])
		if m.over || m.crowded() {
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

// measure inflates data that was read at m.pos, if that is where a stream begins.
func (m *meter) measure(data []byte) {
	var word [len("stream\r\n")]byte
	if m.pos < int64(len(word)) {
		return
	}
	if _, err := m.file.ReadAt(word[:], m.pos-int64(len(word))); err != nil || !bytes.HasSuffix(bytes.TrimRight(word[:], "\r\n"), []byte("stream")) {
		return // most reads are of other things
	}
	head := make([]byte, min(m.pos, dictBytes))
	if _, err := m.file.ReadAt(head, m.pos-int64(len(head))); err != nil {
		return // PDFium will not get it either
	}
	head = bytes.TrimSuffix(bytes.TrimRight(head, "\r\n"), []byte("stream"))
	if cut := bytes.LastIndex(head, []byte("obj")); cut >= 0 {
		head = head[cut:]
	}
	if tables := containsAny(head, "/ObjStm", "/XRef"); !m.opened && !tables {
		return
	}
	if containsAny(head, "/Image") {
		return
	}
	layers := count(head, "/FlateDecode", "/Fl ", "/Fl]", "/Fl/", "/Fl>")
	if layers == 0 && containsAny(head, "/Filter") || layers > maxLayers {
		m.blind = true
		return
	}
	var show shows
	n, whole := m.inflater.inflate(bytes.NewReader(data), layers, m.bound-m.content+1, &show)
	m.content += n
	m.over = m.over || m.content > m.bound
	if !m.opened {
		m.content = 0
		return
	}
	if containsAny(head, notShown...) || show.mapping {
		return
	}
	m.blind = m.blind || !whole
	m.shown += show.inside
	m.texts += show.texts
	if containsAny(head, "/Form") {
		m.nested += show.uses
		m.formShown = max(m.formShown, show.inside)
	} else {
		m.uses += show.uses
	}
}

// notShown is in the description of streams that are not what a page shows: tables, fonts, colours, descriptions.
var notShown = []string{"/ObjStm", "/Length1", "/FontFile", "/Type1C", "/CIDFontType0C", "/OpenType", "/Alternate", "/Metadata"}

func containsAny(text []byte, words ...string) bool { return count(text, words...) > 0 }

func count(text []byte, words ...string) (n int) {
	for _, w := range words {
		n += bytes.Count(text, []byte(w))
	}
	return n
}

// inflater is what inflating takes, kept from one stream to the next: tens of KiB, where most streams are smaller.
type inflater struct {
	layers []io.ReadCloser // each also a zlib.Resetter
	buffer []byte
}

// inflate counts the bytes that come out of layers of compression, up to bound, and shows them to w. It is not whole when the data is not what its
// description says, as when it is encrypted.
func (f *inflater) inflate(body io.Reader, layers int, bound int64, w io.Writer) (n int64, whole bool) {
	for i := range layers {
		var err error
		if body, err = f.layer(i, body); err != nil {
			return 0, false
		}
	}
	if f.buffer == nil {
		f.buffer = make([]byte, 32<<10)
	}
	n, err := io.CopyBuffer(w, io.LimitReader(body, bound), f.buffer) // damaged data counts as far as it goes
	return n, err == nil && n < bound
}

func (f *inflater) layer(i int, body io.Reader) (io.Reader, error) {
	if i < len(f.layers) {
		return f.layers[i], f.layers[i].(zlib.Resetter).Reset(body, nil)
	}
	z, err := zlib.NewReader(body)
	if err != nil {
		return nil, err
	}
	f.layers = append(f.layers, z)
	return z, nil
}

// shows counts what content shows: the bytes within (literal strings), not minding how deep, and half of those within <hexadecimal ones>; and how often it uses
// forms and images. It only estimates: what is not content makes it count nonsense.
type shows struct {
	inside  int64
	uses    int
	texts   int  // operators Tj and TJ
	mapping bool // it is a map of characters, not content

	begun   bool
	depth   int
	hex     bool
	digits  int64
	escaped bool
	last    [2]byte // before the one in hand
}

func (s *shows) Write(p []byte) (int, error) {
	if !s.begun {
		s.begun, s.mapping = true, bytes.Contains(p[:min(len(p), 512)], []byte("begincmap"))
	}
	for _, c := range p {
		switch {
		case s.escaped:
			s.escaped = false
			s.inside++
		case s.depth > 0:
			switch c {
			case '\\':
				s.escaped = true
			case '(':
				s.depth++
				s.inside++
			case ')':
				s.depth--
			default:
				s.inside++
			}
		case s.hex:
			if c == '>' {
				s.hex = false
				s.inside += s.digits / 2
				s.digits = 0
			} else {
				s.digits++
			}
		case c == '(':
			s.depth = 1
		case c == '<':
			s.hex = true
		case c == 'o' && s.last[1] == 'D' && !letter(s.last[0]):
			s.uses++
		case (c == 'j' || c == 'J') && s.last[1] == 'T' && !letter(s.last[0]):
			s.texts++
		}
		s.last = [2]byte{s.last[1], c}
	}
	return len(p), nil
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
