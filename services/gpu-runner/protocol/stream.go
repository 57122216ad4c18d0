package protocol

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Reader reads messages from a byte stream. It is not safe for concurrent use.
type Reader struct {
	in   *bufio.Reader
	line []byte
}

// NewReader returns a Reader of in.
func NewReader(in io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(in, 64<<10)} }

// Next returns the next message. It returns io.EOF at the end of the stream between two lines; an error that wraps ErrBroken when the
// line isn't the protocol, has more than MaxLine bytes (of which no more than that are ever held), or is cut off by the end of the stream
// (io.ErrUnexpectedEOF too); else the stream's own error.
func (r *Reader) Next() (Message, error) {
	r.line = r.line[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		if len(r.line)+len(part) > MaxLine+len("\n") {
			return nil, fmt.Errorf("%w: %w (line begins %q)", ErrBroken, tooLong(), head(append(r.line, part...)))
		}
		r.line = append(r.line, part...)
		switch {
		case err == nil:
			return Decode(r.line)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(r.line) > 0:
			return nil, fmt.Errorf("%w: %w inside a line (it begins %q)", ErrBroken, io.ErrUnexpectedEOF, head(r.line))
		default:
			return nil, err
		}
	}
}

// Writer writes messages to a byte stream, each with one Write. It is safe for concurrent use.
type Writer struct {
	mu  sync.Mutex
	out io.Writer
}

// NewWriter returns a Writer to out.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Write sends m.
func (w *Writer) Write(m Message) error {
	line, err := Encode(m)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.out.Write(line); err != nil {
		return fmt.Errorf("write %s: %w", m.kind(), err)
	}
	return nil
}
