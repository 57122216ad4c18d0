package validator

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// scanBytes is how much of a file is looked at in one piece; pieces overlap by overlapBytes, so that what is looked for is whole in one of them.
const (
	scanBytes    = 1 << 20
	overlapBytes = 4 << 10
)

var (
	catalogType = regexp.MustCompile(`/Type\s*/Catalog\b`)
	objectBegin = regexp.MustCompile(`(\d{1,10})\s+(\d{1,5})\s+obj\b`)
	trailerWord = regexp.MustCompile(`\btrailer\b|/Type\s*/XRef\b`)
)

// mended is the path of what the tool gets to repair, and a function that removes it: the file from its header on, because what comes before it makes every offset
// wrong; and when its end is missing, with a new one that says which object is the catalog. A file that needs neither is itself.
func mended(r Request, seen sight) (path string, remove func(), err error) {
	if seen.header == 0 && seen.ended {
		return r.Path, func() {}, nil
	}
	trouble := func(err error) (string, func(), error) {
		return "", nil, failure.New(failure.Unhealthy, "copy document to", r.Scratch, err).WithHint("is the disk full?")
	}
	from, err := os.Open(r.Path)
	if err != nil {
		return trouble(err)
	}
	defer from.Close()
	to, err := os.CreateTemp(r.Scratch, "pdfmill-mended-")
	if err != nil {
		return trouble(err)
	}
	remove = func() { os.Remove(to.Name()) }
	_, err = from.Seek(int64(seen.header), io.SeekStart)
	var tail string
	if err == nil {
		tail, err = copyScanning(to, from)
	}
	if err == nil && !seen.ended {
		_, err = io.WriteString(to, tail)
	}
	if err = errors.Join(err, to.Close()); err != nil {
		remove()
		return trouble(err)
	}
	return to.Name(), remove, nil
}

// copyScanning copies a file, a piece at a time, and returns the end that it lacks: "" when it has one, or when its catalog can't be found.
func copyScanning(to io.Writer, from io.Reader) (tail string, err error) {
	piece := make([]byte, 0, scanBytes+overlapBytes)
	root, trailer := "", false
	for {
		n, err := io.ReadFull(from, piece[len(piece):len(piece)+scanBytes])
		if _, fault := to.Write(piece[len(piece) : len(piece)+n]); fault != nil {
			return "", fault
		}
		piece = piece[:len(piece)+n]
		for _, at := range catalogType.FindAllIndex(piece, -1) {
			before := piece[max(0, at[0]-overlapBytes):at[0]]
			if objects := objectBegin.FindAllSubmatch(before, -1); len(objects) > 0 {
				m := objects[len(objects)-1]
				root = fmt.Sprintf("%s %s R", m[1], m[2]) // the last one counts, as it does for readers
			}
		}
		trailer = trailer || trailerWord.Match(piece)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return "", err
		}
		piece = append(piece[:0], piece[max(0, len(piece)-overlapBytes):]...)
	}
	if trailer || root == "" {
		return "", nil
	}
	// No offset is right: the table is rebuilt from the objects.
	return "\ntrailer\n<</Root " + root + ">>\nstartxref\n0\n%%EOF\n", nil
}
