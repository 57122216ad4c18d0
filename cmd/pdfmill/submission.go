package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/batch"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// submission is a list of files on their way into an inbox.
type submission struct {
	g        *globals
	std      streams
	metadata map[string]string
	store    object.Store
	inbox    string
	files    []submitted

	mu      sync.Mutex
	waiting map[string]int // by object key: the file that no event has ended yet
	failed  int
}

// submitted is what is printed of one file.
type submitted struct {
	Input   string `json:"input"`
	Bucket  string `json:"bucket"`
	Key     string `json:"key"`
	Outcome string `json:"outcome"` // submitted | converted | failed
	Class   string `json:"class,omitempty"`
	Message string `json:"message,omitempty"`
	Event   any    `json:"event,omitempty"`

	in batch.Input
}

func newSubmission(g *globals, std streams, metadata map[string]string) *submission {
	return &submission{g: g, std: std, metadata: metadata, waiting: map[string]int{}}
}

func (s *submission) plan(in batch.Input, key string) {
	if in.Err == nil {
		s.waiting[key] = len(s.files)
	}
	s.files = append(s.files, submitted{Input: in.Path, Key: key, in: in})
}

// errAllSeen ends the watch when nothing is waited for any more.
var errAllSeen = errors.New("every file has ended")

// dropAndWait watches first, so that no event is missed, and returns when every file that got through has ended, or ctx has.
func (s *submission) dropAndWait(ctx context.Context, broker *jet.Broker) error {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	ready, over := make(chan struct{}), make(chan error, 1)
	go func() { over <- broker.Watch(watching, false, func() { close(ready) }, s.see) }()
	select {
	case <-ready:
	case err := <-over:
		return err
	}
	s.drop(ctx)
	s.mu.Lock()
	if len(s.waiting) == 0 {
		cancel()
	}
	s.mu.Unlock()
	if err := <-over; !errors.Is(err, errAllSeen) {
		return err
	}
	return nil
}

// drop uploads one file after the other.
func (s *submission) drop(ctx context.Context) {
	for _, f := range s.files {
		if ctx.Err() != nil {
			return
		}
		f.Bucket, f.Outcome = s.inbox, "submitted"
		if err := s.upload(ctx, f); err != nil {
			f.Outcome, f.Class, f.Message = batch.OutcomeFailed, string(failure.ClassOf(err, failure.SourceGone)), failure.Sentence(err)
			s.mu.Lock()
			delete(s.waiting, f.Key)
			s.mu.Unlock()
		}
		s.tell(f)
	}
}

func (s *submission) upload(ctx context.Context, f submitted) error {
	if f.in.Err != nil {
		return f.in.Err
	}
	file, err := os.Open(f.in.File)
	if err != nil {
		return err
	}
	defer file.Close()
	return batch.Upload(ctx, s.store, s.inbox, f.Key, file, s.metadata)
}

// see tells about the event that ends one of the files.
func (s *submission) see(a jet.Announcement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var key string
	f := submitted{Bucket: s.inbox, Event: a.Raw}
	switch {
	case a.Converted != nil && a.Converted.Source.Bucket == s.inbox:
		key, f.Outcome = a.Converted.Source.Key, batch.OutcomeConverted
		f.Message = a.Converted.Markdown.Bucket + "/" + a.Converted.Markdown.Key
	case a.Failed != nil && a.Failed.Source.Bucket == s.inbox:
		key, f.Outcome, f.Class, f.Message = a.Failed.Source.Key, batch.OutcomeFailed, string(a.Failed.Class), a.Failed.Message
	}
	i, ours := s.waiting[key]
	if !ours {
		return nil
	}
	delete(s.waiting, key)
	f.Input, f.Key = s.files[i].Input, key
	s.print(f)
	if len(s.waiting) == 0 {
		return errAllSeen
	}
	return nil
}

func (s *submission) tell(f submitted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.print(f)
}

func (s *submission) print(f submitted) {
	if f.Outcome == batch.OutcomeFailed {
		s.failed++
	}
	switch {
	case s.g.JSON:
		_ = printJSON(s.std.out, f) // a reader that is gone wants nothing more
	case f.Outcome == batch.OutcomeFailed:
		fmt.Fprintf(s.std.err, "failed %s: %s: %s\n", f.Input, f.Class, f.Message)
	case f.Outcome == batch.OutcomeConverted:
		fmt.Fprintf(s.std.out, "converted %s → %s\n", f.Input, f.Message)
	default:
		fmt.Fprintf(s.std.out, "submitted %s → %s/%s\n", f.Input, f.Bucket, f.Key)
	}
}

// outcome is the error that the command ends with.
func (s *submission) outcome(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil && len(s.waiting) > 0:
		return exit{exitSome, fmt.Errorf("stopped with %d files that have not ended; what was submitted goes on by itself (see: pdfmill status)", len(s.waiting))}
	case s.failed > 0:
		return some()
	}
	return nil
}
