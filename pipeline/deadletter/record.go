// Package deadletter keeps what could not be done: complete enough to understand each failure without a log, and to do it again.
package deadletter

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// Stream is the JetStream stream of dead letters, Subjects what it holds, Replays the KV bucket that says how far each drop was replayed.
const (
	Stream   = "PDF_DEAD"
	Subjects = "pdf.dead.>"
	Replays  = "pdf_replays"
)

// Record is one dead letter: a message that a stage gave up on, and everything known about why.
type Record struct {
	ID      string        `json:"id"`
	Stage   string        `json:"stage"`
	Class   failure.Class `json:"class"`
	Message string        `json:"message"`          // a sentence for a person
	Chain   []string      `json:"chain,omitempty"`  // the error and what it wraps, outermost first
	Detail  string        `json:"detail,omitempty"` // traceback, tail of the worker's log

	Job       job.Job      `json:"job"`
	PageRange *pages.Range `json:"page_range,omitempty"`

	Subject  string              `json:"subject"` // of the original message
	Headers  map[string][]string `json:"headers,omitempty"`
	Payload  json.RawMessage     `json:"payload"`  // the original body; a JSON string when the body was not JSON
	Sequence uint64              `json:"sequence"` // of the original message in its stream
	Attempts int                 `json:"attempts"`

	FirstAttempt time.Time `json:"first_attempt"` // when the original message was stored
	DiedAt       time.Time `json:"died_at"`
	Host         string    `json:"host"`
	Version      string    `json:"version"` // of pdfmill

	Cut []string `json:"cut,omitempty"` // what did not fit a message of the server's
}

// RecordID is the same for every attempt to bury the same message, so that it is buried once.
func RecordID(stage, messageID string) string { return document.Digest("dead", stage, messageID) }

// PublishSubject is where the record is published.
func (r Record) PublishSubject() string { return SubjectOf(r.Stage, string(r.Class)) }

// SubjectOf is where what died in a stage for a reason is published; each may be a wildcard.
func SubjectOf(stage, class string) string { return fmt.Sprintf("pdf.dead.%s.%s", stage, class) }

// RawPayload makes a body fit for Payload whatever bytes it holds.
func RawPayload(data []byte) json.RawMessage {
	if json.Valid(data) {
		return data
	}
	text, _ := json.Marshal(string(data)) // a string always marshals
	return text
}
