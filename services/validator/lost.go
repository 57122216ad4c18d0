package validator

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// bury writes the dead letter of the pages that are lost here, although the rest of their document goes on, and returns its id: replayed, it has the document
// inspected again. It is the same one for every delivery of the message.
func (s *Service) bury(ctx context.Context, d stage.Delivery[event.Ingested], lost []event.FailedPage) (id string, err error) {
	payload, err := json.Marshal(d.Body)
	if err != nil {
		return "", fmt.Errorf("marshal the message of job %s: %w", d.Body.ID, err)
	}
	var each []pages.Range
	for _, p := range lost {
		each = append(each, pages.Range{First: p.Page, Last: p.Page})
	}
	r := deadletter.Record{
		ID: deadletter.RecordID(stage.Validator, d.Body.MessageID()+":pages"), Stage: stage.Validator, Class: lost[0].Class, Message: story(lost), Job: d.Body.Job,
		Subject: event.SubjectIngested, Payload: payload, Attempts: d.Attempt, FirstAttempt: d.Body.Began(), DiedAt: time.Now().UTC(), Version: s.platform.Version,
	}
	r.Host, _ = os.Hostname() // an unknown host is an empty one
	if runs := pages.Union(each...); len(runs) == 1 {
		r.PageRange = &runs[0]
	}
	r.Bound()
	_, err = deadletter.Publish(ctx, s.platform.Broker.JS(), r)
	return r.ID, err
}

// story is a sentence about lost pages: what is wrong with the first one, and how many others there are.
func story(lost []event.FailedPage) string {
	first := fmt.Sprintf("page %d can't go on: %s", lost[0].Page, lost[0].Message)
	switch others := len(lost) - 1; others {
	case 0:
		return first
	case 1:
		return first + "; and 1 more page can't"
	default:
		return fmt.Sprintf("%s; and %d more pages can't", first, others)
	}
}
