package object

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// spoolMemory is how much of a Spool is held in memory, in bytes. File systems remember a deleted file for a while and search around it at every new one: a scratch
// file for each of a hundred small documents a second is what they like least.
const spoolMemory = 256 << 10

// Spool holds the bytes of one object on its way: a small one in memory, a larger one in a scratch file that has no name and leaves nothing behind. It is written
// to the end, then read; not by several goroutines.
type Spool struct {
	dir    string
	memory bytes.Buffer // all, until there is a file
	file   *os.File
	size   int64
}

// NewSpool returns an empty one. Its file, if it needs one, is made in dir; "" is the system's temporary folder.
func NewSpool(dir string) *Spool { return &Spool{dir: dir} }

// Write implements io.Writer.
func (s *Spool) Write(p []byte) (n int, err error) {
	if s.file == nil && s.size+int64(len(p)) <= spoolMemory {
		n, err = s.memory.Write(p)
	} else if err = s.spill(); err == nil {
		n, err = s.file.Write(p)
	}
	s.size += int64(n)
	return n, err
}

// spill moves what is in memory to a file.
func (s *Spool) spill() error {
	if s.file != nil {
		return nil
	}
	file, err := os.CreateTemp(s.dir, "pdfmill-spool-")
	if err != nil {
		return err
	}
	if err := os.Remove(file.Name()); err != nil { // the open file stays usable, and goes with its handle
		return errors.Join(err, file.Close())
	}
	if _, err := file.Write(s.memory.Bytes()); err != nil {
		return errors.Join(err, file.Close())
	}
	s.file, s.memory = file, bytes.Buffer{}
	return nil
}

// Size in bytes of what was written.
func (s *Spool) Size() int64 { return s.size }

// Reader reads all of it, from the start. A new one does not disturb another.
func (s *Spool) Reader() *io.SectionReader {
	if s.file != nil {
		return io.NewSectionReader(s.file, 0, s.size)
	}
	return io.NewSectionReader(bytes.NewReader(s.memory.Bytes()), 0, s.size)
}

// Close gives the space back.
func (s *Spool) Close() error {
	s.memory = bytes.Buffer{}
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
