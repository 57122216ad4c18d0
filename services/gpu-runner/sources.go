package gpurunner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// sources keeps documents on local disk while ranges of them are converted, and a while longer: the ranges of a book come in a row. A file
// is shared by all ranges that need it, and read-only.
type sources struct {
	store  object.Store
	bucket string
	dir    string
	keep   int64                   // bytes of files that nobody uses
	lend   func(path string) error // lets workers read a file

	mu    sync.Mutex
	files map[string]*sourceFile
	idle  []string // hashes nobody uses, oldest first
	held  int64    // bytes of idle files
}

type sourceFile struct {
	users   int
	size    int64
	fetched chan struct{} // closed when the download ended
	err     error
}

func newSources(store object.Store, bucket, dir string, keep int64, lend func(string) error) *sources {
	return &sources{store: store, bucket: bucket, dir: dir, keep: keep, lend: lend, files: map[string]*sourceFile{}}
}

// open returns the path of a document's bytes, whose hash was checked, and a function to give it back with.
func (s *sources) open(ctx context.Context, source document.Source) (path string, release func(), err error) {
	sha := source.SHA256
	path = filepath.Join(s.dir, sha+".pdf") // the hash is hex: validated with the message
	s.mu.Lock()
	f, known := s.files[sha]
	if !known {
		f = &sourceFile{fetched: make(chan struct{})}
		s.files[sha] = f
	}
	if f.users++; f.users == 1 && known {
		s.idle = slices.DeleteFunc(s.idle, func(other string) bool { return other == sha })
		s.held -= f.size
	}
	s.mu.Unlock()

	if !known {
		f.size, f.err = s.download(ctx, sha, path)
		close(f.fetched)
	}
	select {
	case <-f.fetched:
	case <-ctx.Done():
		s.release(sha, f)
		return "", nil, ctx.Err()
	}
	if f.err != nil {
		s.release(sha, f)
		if errors.Is(f.err, context.Canceled) && ctx.Err() == nil { // the download was another's, who gave up
			return s.open(ctx, source)
		}
		return "", nil, f.err
	}
	return path, func() { s.release(sha, f) }, nil
}

// release forgets a file that failed, and keeps one that did not until newer ones need the room.
func (s *sources) release(sha string, f *sourceFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.users--; f.users > 0 {
		if f.err != nil && s.files[sha] == f {
			delete(s.files, sha)
		}
		return
	}
	if f.err != nil {
		if s.files[sha] == f {
			delete(s.files, sha)
		}
		return
	}
	s.idle, s.held = append(s.idle, sha), s.held+f.size
	for s.held > s.keep && len(s.idle) > 0 {
		oldest := s.idle[0]
		s.held -= s.files[oldest].size
		delete(s.files, oldest)
		s.idle = s.idle[1:]
		_ = os.Remove(filepath.Join(s.dir, oldest+".pdf")) // what stays behind goes with the scratch folder
	}
}

func (s *sources) download(ctx context.Context, sha, path string) (int64, error) {
	file, err := os.CreateTemp(s.dir, "fetch-")
	if err != nil {
		return 0, scratchTrouble(err, s.dir)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	size, err := object.Download(ctx, s.store, s.bucket, document.SourceKey(sha), sha, file)
	if err == nil {
		err = file.Close() // only now a disk elsewhere may say that it is full
	}
	switch {
	case errors.Is(err, object.ErrNotFound):
		return 0, failure.New(failure.SourceGone, "fetch", document.SourceKey(sha), err)
	case err != nil && failure.ClassOf(err, "") == "":
		return 0, scratchTrouble(err, s.dir)
	case err != nil:
		return 0, err
	}
	if err := errors.Join(s.lend(file.Name()), os.Rename(file.Name(), path)); err != nil {
		return 0, scratchTrouble(err, s.dir)
	}
	return size, nil
}

// scratchTrouble is a fault of this machine, not of the document: the message is held, as while the store refuses.
func scratchTrouble(err error, dir string) error {
	e := failure.New(failure.StoreUnavailable, "write scratch file in", dir, err)
	if errors.Is(err, syscall.ENOSPC) {
		return e.WithHint(fmt.Sprintf("make room on the disk of %s", dir))
	}
	return e
}
