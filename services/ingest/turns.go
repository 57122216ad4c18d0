package ingest

import (
	"context"
	"strings"

	"golang.org/x/sync/semaphore"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// lanes are those in which drops wait, but the one for hints that are not sorted. All may go but for the gate, which keeps what is behind ingest short: so a source's
// documents wait here, and each lane has the same number of askers, or more where its source has more turns.
func (s *Service) lanes(gate *jet.Gate) []jet.Lane {
	turns := map[string]int{}
	for source, n := range s.config.Turns {
		bucket, folder, in := strings.Cut(source, "/")
		key := ""
		if in {
			key = strings.TrimSuffix(folder, "/") + "/"
		}
		subject := event.SubjectDroppedFrom(bucket, key)
		turns[subject] = max(turns[subject], n)
	}
	var all []jet.Lane
	for _, subject := range event.SubjectsDropped()[1:] {
		lane := jet.Lane{Subject: subject, Concurrency: s.config.Concurrency * max(turns[subject], 1), Gate: gate}
		if event.UrgentDropped(subject) {
			lane.Gate = nil
		}
		all = append(all, lane)
	}
	return all
}

// sort puts hints of those who know no lanes, like MinIO and earlier versions, into theirs.
func (s *Service) sort(ctx context.Context, d stage.Delivery[event.Dropped]) ([]stage.Output, error) {
	out := s.place(d.Body)
	if event.TenantDropped(out.Subject) != "" {
		return s.handle(ctx, d)
	}
	out.ID = movedID(d)
	return []stage.Output{out}, nil
}

// fair takes no more objects in at once than there are places, over all lanes, in the order in which they came.
func fair(places *semaphore.Weighted, handle stage.Handler[event.Dropped]) stage.Handler[event.Dropped] {
	return func(ctx context.Context, d stage.Delivery[event.Dropped]) ([]stage.Output, error) {
		if err := places.Acquire(ctx, 1); err != nil {
			return nil, err // the process ends
		}
		defer places.Release(1)
		return handle(ctx, d)
	}
}
