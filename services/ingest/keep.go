package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// keep copies the object, in the state that source describes, to where pdfmill keeps sources, and returns the SHA-256 of its bytes. They pass through a spool,
// because their place is named by what they are, and so through no more memory than that of a small one. An object that changes meanwhile is a transient failure.
func (s *Service) keep(ctx context.Context, source document.Source) (sha string, err error) {
	spool := object.NewSpool(s.config.Scratch)
	defer spool.Close()
	hash := sha256.New()
	n, err := object.Download(ctx, s.platform.Store, source.Bucket, source.Key, "", &bounded{w: io.MultiWriter(spool, hash), left: source.Size})
	switch {
	case errors.Is(err, errMore):
		return "", changing(source)
	case errors.Is(err, object.ErrNotFound):
		return "", changing(source) // the next attempt says what became of it
	case err != nil && failure.ClassOf(err, "") == "" && ctx.Err() == nil:
		return "", noScratch(source, err)
	case err != nil:
		return "", err
	}
	after, err := s.platform.Store.Stat(ctx, source.Bucket, source.Key)
	if err != nil && !errors.Is(err, object.ErrNotFound) {
		return "", err
	}
	if err != nil || n != source.Size || sourceOf(after).Version() != source.Version() {
		return "", changing(source)
	}
	sha = hex.EncodeToString(hash.Sum(nil))
	return sha, s.store(ctx, spool, sha)
}

// store writes the bytes to their place, unless they are there. Those that are may be about to be swept, by a sweep that looked into the queue before this document's
// hint was there: while one is on, nothing is relied upon. Later ones see the hint.
func (s *Service) store(ctx context.Context, spool *object.Spool, sha string) error {
	key := document.SourceKey(sha)
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
	_, err = s.platform.Store.Put(ctx, s.platform.Bucket, key, spool.Reader(), spool.Size(), object.Put{ContentType: "application/pdf"})
	return err
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
