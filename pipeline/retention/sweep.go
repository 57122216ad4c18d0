// Package retention takes away what nobody needs any more: results of page ranges, which only serve other drops of the same document, and sources of documents
// that have ended. Products (the revisions) are never touched: they are the user's.
//
// A sweep never takes what a live message needs, whatever happens at the same time:
//
//   - Good results: it marks the job first, with a generation above all results there are. Whoever plans the job from then on uses and makes results of that
//     generation only. Then it looks for messages of the job; one that was planned before is in the queue, or in what was handed on from it. None: everything
//     below the mark can go.
//   - Sources: one sweep at a time, under the lease SourcesLease, looks at what the queue and the dead letters name and takes the rest. Whoever relies on a source
//     that is there (ingest of a document that was dropped before, reconvert) does so while nobody holds the lease, with its message in the queue already:
//     a later sweep sees that. No clock decides.
package retention

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// MinAge is the least age at which anything is swept.
const MinAge = time.Hour

// Config says what a sweep takes.
type Config struct {
	Bucket     string        // pdfmill's own
	RangesAge  time.Duration // of results of page ranges; at least MinAge; 0: keep them
	SourcesAge time.Duration // of accepted sources; at least MinAge; 0: keep them
	DryRun     bool
	Removed    func(key string, size int64) // may be nil; hears of each object, before it goes

	minAge, lag time.Duration // in tests
}

// Report sums up a sweep.
type Report struct {
	Jobs    int   `json:"jobs"`    // whose results went
	Sources int   `json:"sources"` // that went
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`
	Live    int   `json:"live"` // jobs and sources that are old enough and still needed
}

// Broker is what a sweep asks about live messages. jet.Broker is one.
type Broker interface {
	Queue(ctx context.Context) iter.Seq2[jet.Queued, error]
	Alone(ctx context.Context, lease string, do func(ctx context.Context, mine func() bool) error) error
}

// DeadLetters is what a sweep asks about documents that may be replayed. deadletter.Box is one.
type DeadLetters interface {
	List(ctx context.Context, f deadletter.Filter) iter.Seq2[deadletter.Entry, error]
}

// Sweep takes away what is old enough and not needed. The report is valid, as far as it goes, beside an error.
func Sweep(ctx context.Context, store object.Store, broker Broker, dead DeadLetters, c Config) (Report, error) {
	if c.minAge == 0 {
		c.minAge, c.lag = MinAge, jet.LeaseLag
	}
	if err := c.validate(); err != nil {
		return Report{}, err
	}
	s := &sweep{Config: c, store: store, broker: broker, dead: dead, now: time.Now()}
	var err error
	if c.RangesAge > 0 {
		err = s.ranges(ctx)
	}
	if err == nil && c.SourcesAge > 0 {
		err = s.sources(ctx)
	}
	return s.report, err
}

func (c Config) validate() error {
	var faults []error
	for name, age := range map[string]time.Duration{"ranges": c.RangesAge, "sources": c.SourcesAge} {
		if age != 0 && age < c.minAge {
			faults = append(faults, fmt.Errorf("sweep %s: an age of %s is below the least of %s", name, age, c.minAge))
		}
	}
	return errors.Join(faults...)
}

type sweep struct {
	Config
	store  object.Store
	broker Broker
	dead   DeadLetters
	now    time.Time
	report Report
}

// stale is a job with results to take away.
type stale struct {
	job     job.Job       // as far as keys tell
	objects []object.Info // below ranges/ and passes/
	newest  time.Time
	top     int64 // the highest generation there is
	marks   []string
}

// ofJobs lists what all jobs hold.
func (s *sweep) ofJobs(ctx context.Context) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		for _, prefix := range []string{job.Jobs, job.Tenants} {
			for o, err := range s.store.List(ctx, s.Bucket, prefix) {
				if !yield(o, err) {
					return
				}
			}
		}
	}
}

// ranges sweeps the results of jobs whose youngest result is old enough.
func (s *sweep) ranges(ctx context.Context) error {
	jobs := map[string]*stale{}
	for o, err := range s.ofJobs(ctx) {
		if err != nil {
			return err
		}
		of, below, ok := job.ParseKey(o.Key)
		parts := strings.Split(below, "/") // ranges|passes/…
		if !ok || len(parts) < 2 || (parts[0] != "ranges" && parts[0] != "passes") {
			continue
		}
		j := jobs[of.ID]
		if j == nil {
			j = &stale{job: of}
			jobs[of.ID] = j
		}
		if generation, ok := job.ParseSweepMark(parts[1]); ok && len(parts) == 2 {
			j.marks, j.top = append(j.marks, o.Key), max(j.top, generation)
			continue
		}
		if _, generation, err := job.ParseRangeDir(parts[1]); err == nil && parts[0] == "ranges" {
			j.top = max(j.top, generation)
		}
		if j.objects = append(j.objects, o); o.ModTime.After(j.newest) {
			j.newest = o.ModTime
		}
	}
	for id, j := range jobs {
		if len(j.objects) == 0 && len(j.marks) == 0 || s.now.Sub(j.newest) < s.RangesAge {
			delete(jobs, id)
		}
	}
	if len(jobs) == 0 {
		return nil
	}
	if !s.DryRun {
		for _, j := range jobs {
			mark := j.job.SweepMark(max(j.top+1, s.now.Unix()))
			if _, err := object.PutBytes(ctx, s.store, s.Bucket, mark, nil, object.Put{}); err != nil {
				return err
			}
			j.marks = append(j.marks, mark)
		}
	}
	live := map[string]bool{}
	for q, err := range s.broker.Queue(ctx) {
		if err != nil {
			return err
		}
		if jobs[q.Work.ID] != nil { // the queue may be much longer than what is old
			live[q.Work.ID] = true
		}
	}
	for id, j := range jobs {
		if live[id] {
			s.report.Live++
		} else {
			s.report.Jobs++
			if err := s.remove(ctx, j.objects...); err != nil {
				return err
			}
		}
		for _, mark := range j.marks {
			if live[id] || s.DryRun {
				continue // it hurts nobody, and whoever planned by it may not be done
			}
			if err := s.store.Delete(ctx, s.Bucket, mark); err != nil {
				return err
			}
		}
	}
	return nil
}

// sources sweeps accepted documents that nothing names.
func (s *sweep) sources(ctx context.Context) error {
	old := map[string]object.Info{}
	for o, err := range s.store.List(ctx, s.Bucket, "source/") {
		if err != nil {
			return err
		}
		if s.now.Sub(o.ModTime) >= s.SourcesAge {
			old[strings.TrimSuffix(path.Base(o.Key), ".pdf")] = o
		}
	}
	if len(old) == 0 {
		return nil
	}
	if s.DryRun {
		return s.take(ctx, old, func() bool { return true })
	}
	return s.broker.Alone(ctx, jet.SourcesLease, func(ctx context.Context, mine func() bool) error {
		timer := time.NewTimer(s.lag) // whoever has not heard of the lease yet has a message in the queue by now
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		return s.take(ctx, old, mine)
	})
}

// errLost says that another process may be sweeping.
var errLost = errors.New("sweep sources: the lease was lost (the next sweep goes on)")

// take takes away those of the old sources that are not needed, as long as mine says so.
func (s *sweep) take(ctx context.Context, old map[string]object.Info, mine func() bool) error {
	needed := map[string]bool{}
	need := func(sha string) {
		if _, is := old[sha]; is { // what is named may be much more than what is old
			needed[sha] = true
		}
	}
	// A job passes between queue and dead letters, so the dead are asked before and after; one that was replayed a moment ago counts as well.
	if err := s.deadNeed(ctx, need); err != nil {
		return err
	}
	sizes := map[int64]bool{}
	for q, err := range s.broker.Queue(ctx) {
		if err != nil {
			return err
		}
		if q.Work.Source.SHA256 == "" {
			sizes[q.Work.Source.Size] = true // not read yet: it may be any of this size
		}
		need(q.Work.Source.SHA256)
	}
	if err := s.deadNeed(ctx, need); err != nil {
		return err
	}
	for sha, o := range old {
		if needed[sha] || sizes[o.Size] {
			s.report.Live++
			continue
		}
		// Another sweep may have taken it since it was listed, and ingest may have written it anew.
		again, err := s.store.Stat(ctx, s.Bucket, document.SourceKey(sha))
		if errors.Is(err, object.ErrNotFound) || (err == nil && !again.ModTime.Equal(o.ModTime)) {
			continue
		}
		if err != nil {
			return err
		}
		if !mine() {
			return errLost
		}
		s.report.Sources++
		if err := s.remove(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func (s *sweep) deadNeed(ctx context.Context, need func(sha string)) error {
	for e, err := range s.dead.List(ctx, deadletter.Filter{Replayed: true}) {
		if err != nil {
			return err
		}
		if !e.Replayed || s.now.Sub(e.ReplayedAt) < s.minAge {
			need(e.Job.Source.SHA256)
		}
	}
	return nil
}

func (s *sweep) remove(ctx context.Context, objects ...object.Info) error {
	for _, o := range objects {
		if s.Removed != nil {
			s.Removed(o.Key, o.Size)
		}
		s.report.Objects++
		s.report.Bytes += o.Size
		if s.DryRun {
			continue
		}
		if err := s.store.Delete(ctx, s.Bucket, o.Key); err != nil {
			return err
		}
	}
	return nil
}
