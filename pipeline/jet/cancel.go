package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
)

// Cancellation says that nobody wants a pass of a job: the value of the pass' key in the KV bucket pdf_ends. Another pass, dropped or replayed later, is wanted.
type Cancellation struct {
	Job string    `json:"job"`
	At  time.Time `json:"at"`
	By  string    `json:"by"`
}

// Cancel ends what is queued, in work or waiting for a retry of the jobs that match selects, each pass with one dead letter of class cancelled and one pdf.failed;
// ranges in work stop as soon as their process hears of it. It returns the passes it ended; one whose product was announced meanwhile stays
// converted. Cancelling again goes on where an interrupted one stopped.
func (b *Broker) Cancel(ctx context.Context, by string, match func(job.Job) bool) ([]job.Job, error) {
	kv, err := b.js.KeyValue(ctx, KVEnds)
	if err != nil {
		return nil, missing("KV bucket "+KVEnds, err)
	}
	wanted := map[string]Cancellation{} // by pass
	for q, err := range b.Queue(ctx) {
		if err != nil {
			return nil, err
		}
		if q.Work.ID != "" && match(q.Work) {
			wanted[q.Work.PassID()] = Cancellation{Job: q.Work.ID, At: time.Now().UTC(), By: by}
		}
	}
	for pass, c := range wanted {
		data, err := json.Marshal(c)
		if err == nil {
			_, err = kv.Put(ctx, pass, data)
		}
		if err != nil {
			return nil, fmt.Errorf("cancel job %s: %w", c.Job, err)
		}
	}
	var ended []job.Job
	seen := map[string]bool{}
	for q, err := range b.Queue(ctx) {
		if err != nil {
			return ended, err
		}
		c, is := wanted[q.Work.PassID()]
		if !is || seen[q.Work.PassID()] {
			continue
		}
		seen[q.Work.PassID()] = true
		if _, err := b.endCancelled(ctx, kv, c, q.record()); err != nil {
			return ended, err
		}
		ended = append(ended, q.Work)
	}
	return ended, nil
}

// record is what a dead letter keeps of a message that nobody works on.
func (q Queued) record() deadletter.Record {
	host, _ := os.Hostname() // an unknown host is an empty one
	return deadletter.Record{
		ID: deadletter.RecordID(q.Stage, messageID(q.Header, q.Seq)), Stage: q.Stage, Job: q.Work, PageRange: q.Range, Subject: q.Subject, Headers: q.Header,
		Payload: deadletter.RawPayload(q.Data), Sequence: q.Seq, FirstAttempt: q.At, DiedAt: time.Now().UTC(), Host: host,
	}
}

// endCancelled tells the end of a cancelled pass once, whichever of its messages comes first; it reports whether it was this one.
func (b *Broker) endCancelled(ctx context.Context, kv jetstream.KeyValue, c Cancellation, r deadletter.Record) (bool, error) {
	if _, err := kv.Get(ctx, endKey(r.Job)); err == nil {
		return false, b.tell(ctx, kv, r.Job)
	} else if !errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, fmt.Errorf("end cancelled job %s: %w", r.Job.ID, err)
	}
	// One dead letter a pass, not one a message: it is there to replay the document.
	r.ID, r.Class, r.PageRange = deadletter.RecordID("cancel", r.Job.PassID()), failure.Cancelled, nil
	r.Message = "cancelled"
	if c.By != "" {
		r.Message += " by " + c.By
	}
	if _, err := b.bury(ctx, r); err != nil {
		return false, err
	}
	return true, b.putStatus(ctx, statusOfFailed(r))
}

// cancelled ends a message of a cancelled job.
func (w *worker[B]) cancelled(ctx context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata, o Observation, c Cancellation) {
	o.Class, o.Err = failure.Cancelled, failure.Newf(failure.Cancelled, "work on", o.Work.Source.Path(), "cancelled by %s", c.By)
	if _, err := w.broker.endCancelled(ctx, w.cancels.kv, c, w.record(msg, meta, o)); err != nil {
		w.loop.Log.Error("could not end a cancelled job, will try again", "job", o.Work.ID, "err", err)
		w.giveBack(msg, time.Second)
		o.Outcome, o.Outputs = GivenBack, nil
		w.observe(o)
		return
	}
	w.ack(ctx, msg)
	w.loop.Log.Info("cancelled", "stage", w.loop.Stage, "job", o.Work.ID, "source", o.Work.Source.Path())
	o.Outcome, o.Outputs = Skipped, nil
	w.observe(o)
}
