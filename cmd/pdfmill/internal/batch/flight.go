package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// flight is one document on its way through the pipeline.
type flight struct {
	ended chan jet.Announcement // receives the one event that ends it
}

// see hands an event to the flight that waits for it; events of others are not ours.
func (r *run) see(a jet.Announcement) error {
	key := ""
	switch {
	case a.Converted != nil && a.Converted.Source.Bucket == r.backend.Inbox:
		key = a.Converted.Source.Key
	case a.Failed != nil && a.Failed.Source.Bucket == r.backend.Inbox:
		key = a.Failed.Source.Key
	}
	r.mu.Lock()
	f := r.pending[key]
	delete(r.pending, key)
	r.mu.Unlock()
	if f != nil {
		f.ended <- a // has room for the one event
	}
	return nil
}

// fly takes input i through the pipeline: into the inbox, out as files.
func (r *run) fly(ctx context.Context, i int) {
	started, key := time.Now(), NewKey(r.Inputs[i].Path)
	f := &flight{ended: make(chan jet.Announcement, 1)}
	r.mu.Lock()
	r.pending[key] = f
	r.mu.Unlock()
	if err := r.upload(ctx, r.Inputs[i], key); err != nil {
		r.mu.Lock()
		delete(r.pending, key)
		r.mu.Unlock()
		if ctx.Err() == nil && !errors.Is(err, errGraceOver) {
			r.unreadable(i, err, started)
		}
		return
	}
	var a jet.Announcement
	select {
	case a = <-f.ended:
	case <-ctx.Done():
		return
	}
	if r.backend.Discard {
		if err := r.backend.Store.Delete(ctx, r.backend.Inbox, key); err != nil {
			r.Log.Debug("inbox object left behind", "key", key, "err", err)
		}
	}
	if a.Failed != nil {
		r.failed(i, a.Failed, started)
		return
	}
	r.converted(ctx, i, a.Converted, started)
}

// NewKey makes an object key that no other drop has, in which a person still recognises the file.
func NewKey(file string) string {
	slug := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
			return c
		}
		return '-'
	}, stem(file))
	return path.Join("submitted", fmt.Sprintf("%s-%.80s.pdf", unique(), slug))
}

func (r *run) upload(ctx context.Context, in Input, key string) error {
	file, err := r.open(in)
	if err != nil {
		return err
	}
	defer file.Close()
	metadata := maps.Clone(r.Metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	metadata[job.MetadataPrefix+"correlation-id"] = path.Base(key)
	return r.insist(ctx, in, func() error {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return failure.New(failure.SourceGone, "read", in.Path, Cause(err))
		}
		return Upload(ctx, r.backend.Store, r.backend.Inbox, key, file, metadata)
	})
}

// storePatience is how long a store may refuse a document before that is its failure: as long as the stages of the pipeline hold one.
const storePatience = 10 * time.Minute

// insist puts a document into the store, and tries again while that refuses, as a full disk does. It says so once.
func (r *run) insist(ctx context.Context, in Input, put func() error) error {
	until, told := time.Now().Add(storePatience), false
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		err := put()
		if failure.ClassOf(err, "") != failure.StoreUnavailable || ctx.Err() != nil || time.Now().After(until) {
			return err
		}
		if pause >= 2*time.Second && !told {
			r.Log.Error("the store refuses, holding the document", "input", in.Path, "err", err)
			told = true
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-r.Stop:
			timer.Stop()
			return errGraceOver // it is not done, it has not failed
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// Upload drops a file into an inbox.
func Upload(ctx context.Context, store object.Store, inbox, key string, file *os.File, metadata map[string]string) error {
	info, err := file.Stat()
	if err != nil {
		return failure.New(failure.SourceGone, "read", file.Name(), Cause(err))
	}
	_, err = store.Put(ctx, inbox, key, file, info.Size(), object.Put{ContentType: "application/pdf", Metadata: metadata})
	return err
}

// open opens an input for reading; what can be read only once is copied first, for its length is not known.
func (r *run) open(in Input) (*os.File, error) {
	var stream io.Reader = r.Stdin
	if in.Path != Stdin {
		file, err := os.Open(in.File)
		if err != nil {
			return nil, failure.Newf(failure.SourceGone, "read", in.Path, "can't be read: %w", Cause(err))
		}
		if !in.Stream {
			return file, nil
		}
		defer file.Close()
		stream = file
	}
	spool, err := os.CreateTemp("", "pdfmill-stream-*")
	if err != nil {
		return nil, failure.New(failure.Unhealthy, "keep a copy of", in.Path, err)
	}
	_ = os.Remove(spool.Name()) // the open file stays readable and goes with its handle
	if _, err = io.Copy(spool, stream); err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = spool.Close() // the first error matters
		return nil, failure.New(failure.SourceGone, "read", in.Path, Cause(err))
	}
	return spool, nil
}

// unreadable ends an input that never reached the pipeline.
func (r *run) unreadable(i int, err error, started time.Time) {
	r.end(i, Document{
		Outcome: OutcomeFailed, Class: failure.ClassOf(err, failure.SourceGone), Message: failure.Sentence(err),
		FailedPages: []event.FailedPage{}, Warnings: []event.PageWarning{}, Seconds: round(time.Since(started).Seconds()),
	})
}

func (r *run) failed(i int, e *event.Failed, started time.Time) {
	d := Document{
		Outcome: OutcomeFailed, Class: e.Class, Message: e.Message, FailedPages: e.FailedPages, Warnings: []event.PageWarning{},
		Seconds: round(time.Since(started).Seconds()), SHA256: e.Source.SHA256,
	}
	if d.FailedPages == nil {
		d.FailedPages = []event.FailedPage{}
	}
	if e.DeadLetter != nil {
		d.DeadLetter = e.DeadLetter.ID
	}
	r.end(i, d)
}

func (r *run) converted(ctx context.Context, i int, e *event.Converted, started time.Time) {
	out := r.out
	out.store = r.backend.Store
	made, err := out.prepare(ctx, r.names[i], e)
	if err != nil {
		r.unwritten(i, err, started)
		return
	}
	d := Document{
		Input: r.Inputs[i].Path, File: r.Inputs[i].File, Cached: e.Cached,
		Outcome: OutcomeConverted, Pages: e.Pages, ConvertedPages: e.ConvertedPages, FailedPages: e.FailedPages, Warnings: e.Warnings,
		Seconds: round(time.Since(started).Seconds()), Markdown: made.shown, Job: job.ID(e.Source.SHA256, r.Options), SHA256: e.Source.SHA256,
	}
	if d.FailedPages == nil {
		d.FailedPages = []event.FailedPage{}
	}
	if d.Warnings == nil {
		d.Warnings = []event.PageWarning{}
	}
	if err = r.journal.note(d, digest(made.text)); err == nil {
		err = writeFile(made.path, made.text)
	}
	if err != nil {
		r.unwritten(i, err, started)
		return
	}
	r.end(i, d)
}

// unwritten ends an input whose output can't be written; a run that was ended leaves it for the next.
func (r *run) unwritten(i int, err error, started time.Time) {
	if !errors.Is(err, context.Canceled) {
		r.unreadable(i, failure.New(failure.ClassOf(err, failure.Unhealthy), "write the output of", r.Inputs[i].Path, err), started)
	}
}
