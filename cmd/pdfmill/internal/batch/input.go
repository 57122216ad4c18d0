package batch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Stdin is the path that means standard input.
const Stdin = "-"

// Input is one thing to convert.
type Input struct {
	Path string // as given, or as found below a directory that was given
	File string // absolute path; "" for standard input
	// Stream says that the bytes can be read only once: standard input, or a pipe.
	Stream bool
	// Err says why there is nothing to convert; such an input ends as a failed document.
	Err error
}

// Expand turns the arguments of a command line into inputs: files as they are, directories into the *.pdf below them (recursively, without
// names that begin with a dot, without following links to directories), patterns into what they match. A file reached twice counts once. An
// argument that gives nothing becomes an input with Err set.
func Expand(args []string) []Input {
	e := expansion{seen: map[string]bool{}}
	for _, arg := range args {
		e.argument(arg)
	}
	return e.inputs
}

type expansion struct {
	inputs []Input
	seen   map[string]bool // absolute paths
}

func (e *expansion) argument(arg string) {
	if arg == Stdin {
		e.add(Input{Path: Stdin, Stream: true}, Stdin)
		return
	}
	_, err := os.Lstat(arg)
	if errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(arg, "*?[") {
		e.pattern(arg)
		return
	}
	e.path(arg)
}

func (e *expansion) pattern(pattern string) {
	matches, err := filepath.Glob(pattern)
	if err != nil {
		e.refuse(pattern, fmt.Errorf("%q is not a valid pattern (%w); quote special characters with a backslash", pattern, err))
		return
	}
	if len(matches) == 0 {
		e.refuse(pattern, errors.New("the pattern matches no file"))
		return
	}
	for _, match := range matches {
		e.path(match)
	}
}

func (e *expansion) path(path string) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.refuse(path, errors.New("there is no such file or directory"))
	case err != nil:
		e.refuse(path, fmt.Errorf("can't be read: %w", Cause(err)))
	case info.IsDir():
		e.directory(path)
	case info.Mode()&fs.ModeNamedPipe != 0:
		e.file(path, true)
	case !info.Mode().IsRegular():
		e.refuse(path, errors.New("is neither a file nor a directory"))
	default:
		e.file(path, false)
	}
}

func (e *expansion) directory(dir string) {
	before, faults := len(e.inputs), 0
	fault := func(path string, err error) {
		faults++
		e.refuse(path, fmt.Errorf("can't be read: %w (allow reading it, or leave it out)", Cause(err)))
	}
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error { // its errors become inputs
		switch hidden := path != dir && strings.HasPrefix(filepath.Base(path), "."); {
		case err != nil:
			fault(path, err)
		case hidden && entry.IsDir():
			return fs.SkipDir
		case hidden, entry.IsDir(), !strings.EqualFold(filepath.Ext(path), ".pdf"):
		default:
			info, err := os.Stat(path) // follows a link to a file
			switch {
			case err != nil:
				fault(path, err)
			case info.Mode().IsRegular():
				e.file(path, false)
			}
		}
		return nil
	})
	if len(e.inputs) == before && faults == 0 {
		e.refuse(dir, errors.New("the directory holds no *.pdf file"))
	}
}

func (e *expansion) file(path string, stream bool) {
	file, err := filepath.Abs(path)
	if err != nil {
		e.refuse(path, err)
		return
	}
	e.add(Input{Path: path, File: file, Stream: stream}, file)
}

func (e *expansion) refuse(path string, err error) {
	e.add(Input{Path: path, Err: err}, path)
}

func (e *expansion) add(in Input, identity string) {
	if !e.seen[identity] {
		e.seen[identity] = true
		e.inputs = append(e.inputs, in)
	}
}

// Cause is what the system said, without the operation and the path that a message of ours already names.
func Cause(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}
