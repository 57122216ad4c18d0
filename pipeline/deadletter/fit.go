package deadletter

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/job"
)

// Bounds of a record, in bytes. A server takes a megabyte in one message, if nobody told it otherwise.
const (
	headerRoom = 1 << 10  // for the message's own headers
	maxMessage = 2 << 10  // the sentence
	maxDetail  = 64 << 10 // the evidence
	maxJob     = 32 << 10 // the job; one that pdfmill made is far below
	maxLink    = 1 << 10  // of the error chain, and the evidence, when room is scarce
	maxOpening = 4 << 10  // what is kept of a payload that does not fit
)

// Bound cuts what a record says of the failure to what also fits an event and a message for every page of a range. What follows from a
// record must follow from the bounded one.
func (r *Record) Bound() {
	r.Message = head(r.Message, maxMessage)
	r.Detail = tail(r.Detail, maxDetail)
	if data, err := json.Marshal(r.Job); err != nil || len(data) <= maxJob {
		return
	}
	// Nothing that pdfmill made: what names the document, for people and for a replay from the start.
	s := r.Job.Source
	r.Job = job.Job{Pass: r.Job.Pass, Options: job.Default(), Source: document.Source{Bucket: head(s.Bucket, maxLink), Key: head(s.Key, maxLink), Size: s.Size, ModTime: s.ModTime}}
	r.Cut = append(r.Cut, "job")
}

// fit returns the record as JSON of at most room bytes. The same record is always cut the same way: what only explains the failure first, the original message last. A
// record without its payload can be replayed all the same, by its job.
func (r Record) fit(room int) ([]byte, error) {
	r.Bound()
	cuts := []func(){
		func() {
			r.Detail = tail(r.Detail, maxLink)
			for i, link := range r.Chain {
				r.Chain[i] = head(link, maxLink)
			}
			r.Cut = append(r.Cut, "detail", "chain")
		},
		func() {
			r.Cut = append(r.Cut, fmt.Sprintf("payload of %d bytes with SHA-256 %x", len(r.Payload), sha256.Sum256(r.Payload)))
			r.Payload = RawPayload([]byte(head("…"+string(r.Payload), maxOpening))) // a JSON string, whatever it was
		},
		func() { r.Headers, r.Cut = nil, append(r.Cut, "headers") },
	}
	r.Chain = append([]string{}, r.Chain...)
	for {
		data, err := json.Marshal(r)
		if err != nil || len(data) <= room || len(cuts) == 0 {
			return data, err
		}
		cuts[0]()
		cuts = cuts[1:]
	}
}

// head and tail are the beginning and the end of s, in at most n bytes and a mark.
func head(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	from := len(s) - n
	for from < len(s) && !utf8.RuneStart(s[from]) {
		from++
	}
	return "…" + s[from:]
}
