package ingest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// present is an object as a look at it found it.
type present struct {
	object.Info
	body io.ReadCloser // nil: it was not opened
	file fs.FileInfo   // of one that is a file of a local folder
}

func (p present) close() {
	if p.body != nil {
		_ = p.body.Close() // it was only read
	}
}

// look finds the object's present state. One that nobody is known to have taken is opened at once: that is one request for two.
func (s *Service) look(ctx context.Context, asked document.Source, known bool) (p present, err error) {
	if p.file, err = s.inside(asked); err != nil {
		return p, err
	}
	if known {
		p.Info, err = s.platform.Store.Stat(ctx, asked.Bucket, asked.Key)
		return p, err
	}
	p.body, p.Info, err = s.platform.Store.Get(ctx, asked.Bucket, asked.Key)
	return p, err
}

// keep copies the object, in the state that was found, to where pdfmill keeps sources, and returns the SHA-256 of its bytes. They pass through a spool,
// because their place is named by what they are, and so through no more memory than that of a small one. An object that changes meanwhile is a transient failure.
func (s *Service) keep(ctx context.Context, p present) (sha string, err error) {
	source, info := sourceOf(p.Info), p.Info
	if p.body == nil {
		p.body, info, err = s.platform.Store.Get(ctx, source.Bucket, source.Key)
		if errors.Is(err, object.ErrNotFound) || (err == nil && sourceOf(info).Version() != source.Version()) {
			err = changing(source) // the next attempt says what became of it
		}
		if err != nil {
			p.close()
			return "", err
		}
	}
	spool := object.NewSpool(s.config.Scratch)
	defer spool.Close()
	n, sha, err := object.Copy(&bounded{w: spool, left: source.Size}, p.body, info)
	p.close()
	switch {
	case errors.Is(err, errMore):
		return "", changing(source)
	case err != nil && failure.ClassOf(err, "") == "" && ctx.Err() == nil:
		return "", noScratch(source, err)
	case err != nil:
		return "", err
	}
	if same, err := s.same(ctx, p); err != nil {
		return "", err
	} else if !same || n != source.Size {
		return "", changing(source)
	}
	return sha, s.store(ctx, spool, sha)
}

// same says whether the object is still what was found. A store gives the bytes of one state, which the ETag names; a file can change in place while it is read.
func (s *Service) same(ctx context.Context, p present) (bool, error) {
	source := sourceOf(p.Info)
	if _, isFile := s.config.Directories[source.Bucket]; isFile {
		now, err := s.inside(source) // somebody may have put a link there meanwhile
		return err == nil && p.file != nil && now != nil &&
			os.SameFile(p.file, now) && now.Size() == p.file.Size() && now.ModTime().Equal(p.file.ModTime()), err
	}
	if source.ETag != "" {
		return true, nil
	}
	after, err := s.platform.Store.Stat(ctx, source.Bucket, source.Key)
	if errors.Is(err, object.ErrNotFound) {
		return false, nil
	}
	return err == nil && sourceOf(after).Version() == source.Version(), err
}

// unasked is the size, in bytes, up to which bytes are sent without asking first whether they are there.
const unasked = 4 << 20

// store writes the bytes to their place, unless they are there. Those that are may be about to be swept, by a sweep that looked into the queue before this document's
// hint was there: while one is on, nothing is relied upon. Later ones see the hint.
func (s *Service) store(ctx context.Context, spool *object.Spool, sha string) error {
	key := document.SourceKey(sha)
	put := func(once bool) error {
		_, err := s.platform.Store.Put(ctx, s.platform.Bucket, key, spool.Reader(), spool.Size(), object.Put{ContentType: "application/pdf", Once: once})
		return err
	}
	if spool.Size() <= unasked {
		if err := put(true); !errors.Is(err, object.ErrExists) {
			return err
		}
	}
	there, err := s.platform.Store.Stat(ctx, s.platform.Bucket, key)
	if err == nil {
		if err := s.unswept(ctx, key); err != nil {
			return err
		}
		there, err = s.platform.Store.Stat(ctx, s.platform.Bucket, key)
	}
	switch {
	case err == nil && there.Size == spool.Size():
		return nil
	case err != nil && !errors.Is(err, object.ErrNotFound):
		return err
	}
	return put(false)
}

// unswept waits while somebody may be about to delete sources, and fails when that lasts: the message is held then.
func (s *Service) unswept(ctx context.Context, key string) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for waited := time.Now(); ; {
		swept, err := s.platform.Broker.Held(ctx, jet.SourcesLease)
		switch {
		case err != nil:
			return failure.New(failure.StoreUnavailable, "keep a copy of", key, err).WithHint("check NATS")
		case !swept:
			return nil
		case time.Since(waited) >= s.sweepPatience:
			return failure.New(failure.StoreUnavailable, "keep a copy of", key, errors.New("old copies are being swept away")).WithHint("it goes on when the sweep is over")
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// changing is a transient failure: class source-changed would be the end of it.
func changing(source document.Source) error {
	return failure.Newf(failure.Unhealthy, "read", source.Path(), "it changes while it is read").WithHint("it is read again when it has settled")
}

func noScratch(source document.Source, err error) error {
	return failure.New(failure.StoreUnavailable, "keep a copy of", source.Path(), err).
		WithHint("is there space for scratch files? --ingest-scratch names another folder")
}

// errMore says that there were more bytes than announced.
var errMore = errors.New("more bytes than announced")

// bounded writes at most left bytes.
type bounded struct {
	w    io.Writer
	left int64
}

func (b *bounded) Write(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		return 0, errMore
	}
	n, err := b.w.Write(p)
	b.left -= int64(n)
	return n, err
}
