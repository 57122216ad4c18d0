package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// States of a job in the projection.
const (
	StateAccepted  = "accepted"
	StateQueued    = "queued"
	StateWorking   = "working"
	StateRetrying  = "retrying"
	StateConverted = "converted"
	StateFailed    = "failed"
)

// Status is what the KV bucket pdf_jobs says of one job: where it is and what it waits for. It is a projection for people: late by a moment, lost
// with its process, never decided upon, and rebuilt from streams and objects by RebuildStatus.
type Status struct {
	Job      string          `json:"job"`
	Drop     string          `json:"drop"`
	Pass     int             `json:"pass"`
	Source   document.Source `json:"source"`
	Tenant   string          `json:"tenant,omitempty"`
	State    string          `json:"state"`
	Stage    string          `json:"stage"`
	WaitsFor string          `json:"waits_for,omitempty"`
	Range    string          `json:"range,omitempty"` // that the latest news is about
	// Attempt is that of the latest news, Attempts the most that any message of the pass took.
	Attempt  int           `json:"attempt,omitempty"`
	Attempts int           `json:"attempts,omitempty"`
	Class    failure.Class `json:"class,omitempty"`
	Message  string        `json:"message,omitempty"`
	Engine   string        `json:"engine,omitempty"`
	Pages    int           `json:"pages,omitempty"` // of the document, once they are counted
	Done     pages.Set     `json:"done,omitempty"`  // pages that went through an engine in this pass
	// Seconds is what each stage has worked on this pass, over all its attempts.
	Seconds    map[string]float64 `json:"seconds,omitempty"`
	AcceptedAt time.Time          `json:"accepted_at,omitzero"`
	BeganAt    time.Time          `json:"began_at,omitzero"` // the pass
	UpdatedAt  time.Time          `json:"updated_at"`
}

// statusOf is the part of a status that every message of a pass knows.
func statusOf(w job.Job) Status {
	return Status{Job: w.ID, Drop: w.Drop, Pass: w.Pass, Source: w.Source, Tenant: w.Tenant, AcceptedAt: w.AcceptedAt, BeganAt: w.Began()}
}

// statusOfFailed is the status of a job that a dead letter ends.
func statusOfFailed(r deadletter.Record) Status {
	s := statusOf(r.Job)
	s.State, s.Stage, s.Class, s.Message, s.Attempts, s.UpdatedAt = StateFailed, r.Stage, r.Class, r.Message, r.Attempts, r.DiedAt
	return s
}

// Ended reports whether the pass has its end.
func (s Status) Ended() bool { return ended(s.State) }

func ended(state string) bool { return state == StateConverted || state == StateFailed }

// merge is what is known when news comes in: of a pass, everything adds up; a later pass replaces an earlier one; an end is not undone by older news.
func merge(was, news Status) Status {
	if was.Job == "" || (news.Drop != was.Drop && !news.BeganAt.Before(was.BeganAt)) || (news.Drop == was.Drop && news.Pass > was.Pass) {
		return news
	}
	if news.Drop != was.Drop || news.Pass < was.Pass {
		return was
	}
	late := (ended(was.State) && !ended(news.State)) || (news.UpdatedAt.Before(was.UpdatedAt) && ended(news.State) == ended(was.State))
	out := news
	if late {
		out = was
	}
	out.Attempts = max(was.Attempts, news.Attempts)
	out.Pages = max(was.Pages, news.Pages)
	if out.Engine == "" {
		out.Engine = was.Engine + news.Engine // one of them is empty
	}
	out.Done = pages.Union(append(append([]pages.Range{}, was.Done...), news.Done...)...)
	if len(was.Seconds) > 0 && len(news.Seconds) > 0 {
		out.Seconds = maps.Clone(was.Seconds)
		for stage, seconds := range news.Seconds {
			out.Seconds[stage] += seconds
		}
	} else if len(news.Seconds) == 0 {
		out.Seconds = was.Seconds
	} else {
		out.Seconds = news.Seconds
	}
	return out
}

// statusRaces bounds how often a write gives way to another process's.
const statusRaces = 20

// putStatus merges news into the projection.
func (b *Broker) putStatus(ctx context.Context, news Status) error {
	kv, err := b.js.KeyValue(ctx, KVJobs)
	if err != nil {
		return missing("KV bucket "+KVJobs, err)
	}
	return writeStatus(ctx, kv, news)
}

func writeStatus(ctx context.Context, kv jetstream.KeyValue, news Status) error {
	for range statusRaces {
		var was Status
		entry, err := kv.Get(ctx, news.Job)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
		case err != nil:
			return fmt.Errorf("status of job %s: %w", news.Job, err)
		default:
			_ = json.Unmarshal(entry.Value(), &was) // what can't be read is replaced
		}
		data, err := json.Marshal(merge(was, news))
		if err != nil {
			return fmt.Errorf("status of job %s: %w", news.Job, err)
		}
		if entry == nil {
			_, err = kv.Create(ctx, news.Job, data)
		} else {
			_, err = kv.Update(ctx, news.Job, data, entry.Revision())
		}
		api := (*jetstream.APIError)(nil)
		if errors.Is(err, jetstream.ErrKeyExists) || (errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence) {
			continue
		}
		if err != nil {
			return fmt.Errorf("status of job %s: %w", news.Job, err)
		}
		return nil
	}
	return fmt.Errorf("status of job %s: others kept writing it", news.Job)
}

// ErrNoStatus says that nothing is known of a job.
var ErrNoStatus = errors.New("no such job")

// ReadStatus returns what is known of one job.
func (b *Broker) ReadStatus(ctx context.Context, jobID string) (Status, error) {
	kv, err := b.js.KeyValue(ctx, KVJobs)
	if err != nil {
		return Status{}, missing("KV bucket "+KVJobs, err)
	}
	entry, err := kv.Get(ctx, jobID)
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrInvalidKey) {
		return Status{}, fmt.Errorf("job %q: %w", jobID, ErrNoStatus)
	}
	if err != nil {
		return Status{}, fmt.Errorf("status of job %s: %w", jobID, err)
	}
	var s Status
	if err := json.Unmarshal(entry.Value(), &s); err != nil {
		return Status{}, fmt.Errorf("status of job %s: %w", jobID, err)
	}
	return s, nil
}

// Statuses yields what is known of every job, in no order.
func (b *Broker) Statuses(ctx context.Context) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		kv, err := b.js.KeyValue(ctx, KVJobs)
		if err != nil {
			yield(Status{}, missing("KV bucket "+KVJobs, err))
			return
		}
		watcher, err := kv.WatchAll(ctx, everything, jetstream.IgnoreDeletes())
		if err != nil {
			yield(Status{}, fmt.Errorf("watch %s: %w", KVJobs, err))
			return
		}
		defer func() { _ = watcher.Stop() }() // the connection's end stops it too
		for entry := range watcher.Updates() {
			if entry == nil {
				return // all that was there has been seen
			}
			var s Status
			if err := json.Unmarshal(entry.Value(), &s); err != nil {
				continue // written by a newer version
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}
