package event

import (
	"encoding/json"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Ending returns what must be published after a message was dead-lettered, so that its job still ends where a subscriber can see it. It
// is a pure function of the record: any process can end a job for a stage that is not there to do it itself.
//
// A lost range does not end its document: the publisher hears of the lost pages and decides. Everything else does, a cancellation in any stage too.
// seq is the record's place in the stream of dead letters.
func Ending(r deadletter.Record, seq uint64, now time.Time) []stage.Output {
	if r.Stage == stage.GPURunner && r.Class != failure.Cancelled && len(r.Cut) == 0 { // of what was cut, the message is nothing to go on from
		var m Range
		if json.Unmarshal(r.Payload, &m) == nil && m.Validate() == nil {
			return []stage.Output{lost(r, m).Output()}
		}
	}
	return []stage.Output{Terminal(r.Job, SubjectFailed, Failed{
		Job: r.Job.ID, Drop: r.Job.Drop, Pass: r.Job.Pass, CorrelationID: r.Job.CorrelationID, Tenant: r.Job.Tenant, Source: r.Job.Source, Options: r.Job.Options,
		Stage: r.Stage, Class: r.Class, Message: r.Message, PageRange: r.PageRange, FailedPages: []FailedPage{}, Attempts: r.Attempts,
		DeadLetter: &DeadLetterRef{Stream: deadletter.Stream, Seq: seq, ID: r.ID}, Retryable: r.Class.Retryable(),
	}, now)}
}

// lost is the news, for the publisher, that the pages of a range did not come through.
func lost(r deadletter.Record, m Range) Rendered {
	out := Rendered{
		Job: m.Job, Engine: m.Engine, Range: m.Range, Total: m.Total, Want: m.Want, Mode: m.Mode,
		DeadLetter: r.ID, ValidateSeconds: m.ValidateSeconds, Attempts: r.Attempts,
	}
	for p := m.Range.First; p <= m.Range.Last; p++ {
		out.Failed = append(out.Failed, FailedPage{Page: p, Class: r.Class, Message: r.Message})
	}
	return out
}

// Output publishes the message on the work queue.
func (m Ingested) Output() stage.Output {
	return stage.Output{Subject: SubjectIngested, ID: m.MessageID(), Body: m}
}

// Output publishes the message on the work queue.
func (m Range) Output() stage.Output {
	return stage.Output{Subject: m.Subject(), ID: m.MessageID(), Body: m}
}

// Output publishes the message on the work queue.
func (m Rendered) Output() stage.Output {
	return stage.Output{Subject: SubjectRendered, ID: m.MessageID(), Body: m}
}

// Output publishes the hint on the work queue.
func (d Dropped) Output() stage.Output {
	return stage.Output{Subject: d.Subject(), ID: d.MessageID(), Body: d}
}
