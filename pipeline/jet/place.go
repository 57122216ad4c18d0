package jet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Place is where a job stands in the queue of the stage it waits for, by the stream itself.
type Place struct {
	Stage string `json:"stage"`
	// Ahead counts the messages before the job's first one, AheadPages their pages (0 where pages are not counted yet); those in work are among them.
	Ahead      int `json:"ahead"`
	AheadPages int `json:"ahead_pages"`
	// Messages and Pages are the job's own that wait or are in work.
	Messages int `json:"messages"`
	Pages    int `json:"pages"`
	// InWork counts the messages in work at the stage now.
	InWork int `json:"in_work"`
	// Unserved says that no gpu-runner takes what waits there.
	Unserved bool `json:"unserved,omitempty"`
	// Remaining is a first estimate, in seconds, until the job's last page is through its engine: what recent pages took, shared among the workers busy
	// now. 0: nothing is known to estimate from.
	Remaining float64 `json:"remaining,omitempty"`
}

// ErrNotQueued says that a job has nothing in the queue.
var ErrNotQueued = errors.New("the job has nothing in the queue")

// PlaceOf reads the queue for a job's place in it.
func (b *Broker) PlaceOf(ctx context.Context, jobID string) (Place, error) {
	var p Place
	type count struct{ messages, pages int }
	before := map[string]*count{} // by subject
	subject := ""
	for q, err := range b.Queue(ctx) {
		if err != nil {
			return p, err
		}
		n := 0
		if q.Range != nil && q.Stage == stage.GPURunner {
			n = q.Range.Len()
		}
		switch {
		case q.Work.ID == jobID:
			if subject == "" {
				subject, p.Stage = q.Subject, q.Stage
				if c := before[subject]; c != nil {
					p.Ahead, p.AheadPages = c.messages, c.pages
				}
			}
			p.Messages++
			p.Pages += n
		case before[q.Subject] == nil:
			before[q.Subject] = &count{1, n}
		default:
			before[q.Subject].messages++
			before[q.Subject].pages += n
		}
	}
	if subject == "" {
		return p, fmt.Errorf("job %s: %w", jobID, ErrNotQueued)
	}
	unserved, err := b.Unserved(ctx)
	if err != nil {
		return p, err
	}
	_, p.Unserved = unserved[subject]
	consumer, err := b.js.Consumer(ctx, StreamJobs, Durable(subject))
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound): // no such stage ever ran
		return p, nil
	case err != nil:
		return p, fmt.Errorf("queue of %s: %w", p.Stage, err)
	}
	p.InWork = consumer.CachedInfo().NumAckPending
	if p.Stage == stage.GPURunner {
		page, err := b.secondsAPage(ctx)
		if err != nil {
			return p, err
		}
		p.Remaining = page * float64(p.AheadPages+p.Pages) / float64(max(p.InWork, 1))
	}
	return p, nil
}

// An estimate is made from the latest conversions, found among the latest events: a wave of failures must not hide them.
const (
	recentConversions = 20
	recentEvents      = 500
)

// secondsAPage is what an engine took for a page of late, 0 when nothing was converted of late.
func (b *Broker) secondsAPage(ctx context.Context) (float64, error) {
	stream, err := b.js.Stream(ctx, StreamEvents)
	if err != nil {
		return 0, missing("stream "+StreamEvents, err)
	}
	last := stream.CachedInfo().State.LastSeq
	var seconds float64
	pages := 0
	for seq, found := last, 0; seq > 0 && seq+recentEvents > last && found < recentConversions; seq-- {
		raw, err := stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("read message %d of %s: %w", seq, StreamEvents, err)
		}
		a, err := announce(raw.Subject, raw.Header, raw.Data)
		if err != nil || a.Converted == nil || a.Converted.Cached || raw.Time.Before(time.Now().Add(-24*time.Hour)) {
			continue
		}
		found++
		seconds += a.Converted.Timings.Convert
		pages += a.Converted.ConvertedPages
	}
	if pages == 0 {
		return 0, nil
	}
	return seconds / float64(pages), nil
}
