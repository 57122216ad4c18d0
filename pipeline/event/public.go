package event

import (
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// MaxInline is the largest Markdown, in bytes, that travels inside `pdf.converted`.
const MaxInline = 512 << 10

// Object names something in a bucket.
type Object struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
}

// Markdown is the product of a conversion; in another format, where one was asked for.
type Markdown struct {
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	MediaType string `json:"media_type,omitempty"`
	Bytes     int64  `json:"bytes"`
	SHA256    string `json:"sha256"`
	Inline    string `json:"inline,omitempty"` // the whole text when it is at most MaxInline bytes and fits the server's max_payload
}

// Image is one extracted image.
type Image struct {
	Key       string `json:"key"`
	Bytes     int64  `json:"bytes"`
	MediaType string `json:"media_type"`
	Page      int    `json:"page"`
}

// Engine says what converted the document.
type Engine struct {
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Models  map[string]string `json:"models,omitempty"`
}

// Timings are seconds.
type Timings struct {
	Queued   float64 `json:"queued"`   // waiting for a worker, the longest of the ranges
	Validate float64 `json:"validate"` // inspection and planning
	Convert  float64 `json:"convert"`  // engine time, the sum over ranges
	Publish  float64 `json:"publish"`  // joining
	Total    float64 `json:"total"`    // accepted to announced
}

// PageWarning says that a page came through, but not as it should.
type PageWarning struct {
	Page    int    `json:"page"`
	Warning string `json:"warning"` // no-text | truncated | degraded | lossy
}

// Fidelity sums up how much of the text layers of a document's pages came out, each page's as a share of its words.
type Fidelity struct {
	Pages      int     `json:"pages"` // that have a text layer to compare with
	Mean       float64 `json:"mean"`
	Lowest     float64 `json:"lowest"`
	LowestPage int     `json:"lowest_page"`
}

// Converted is `pdf.converted`: the document is ready.
type Converted struct {
	Job            string          `json:"job"`
	Drop           string          `json:"drop"`
	Pass           int             `json:"pass"`
	Revision       int             `json:"revision"`
	CorrelationID  string          `json:"correlation_id,omitempty"`
	Tenant         string          `json:"tenant,omitempty"` // whose source it was
	Source         document.Source `json:"source"`
	Options        job.Options     `json:"options"`
	Pages          int             `json:"pages"`
	ConvertedPages int             `json:"converted_pages"`
	FailedPages    []FailedPage    `json:"failed_pages"`
	Warnings       []PageWarning   `json:"warnings"`
	Complete       bool            `json:"complete"`
	Cached         bool            `json:"cached"`
	Markdown       Markdown        `json:"markdown"`
	Images         []Image         `json:"images"`
	Manifest       Object          `json:"manifest"`
	Engine         Engine          `json:"engine"`
	Fidelity       *Fidelity       `json:"fidelity,omitempty"`
	Timings        Timings         `json:"timings"`
	Attempts       int             `json:"attempts"`
}

// DeadLetterRef points at the record that tells more about a failure.
type DeadLetterRef struct {
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq,omitempty"`
	ID     string `json:"id"`
}

// Failed is `pdf.failed`: the document ends without a product, until somebody replays it.
type Failed struct {
	Job           string          `json:"job"`
	Drop          string          `json:"drop"`
	Pass          int             `json:"pass"`
	CorrelationID string          `json:"correlation_id,omitempty"`
	Tenant        string          `json:"tenant,omitempty"` // whose source it was
	Source        document.Source `json:"source"`
	Options       job.Options     `json:"options"`
	Stage         string          `json:"stage"`
	Class         failure.Class   `json:"class"`
	Message       string          `json:"message"`
	PageRange     *pages.Range    `json:"page_range"`
	FailedPages   []FailedPage    `json:"failed_pages"`
	Attempts      int             `json:"attempts"`
	DeadLetter    *DeadLetterRef  `json:"dead_letter"`
	Retryable     bool            `json:"retryable"`
}

// TerminalID is the CloudEvents id of the one event that ends this pass of this drop, whichever it is: an end can't be told twice as two things.
func TerminalID(j job.Job) string { return document.Digest("terminal", j.PassID()) }

// Terminal wraps Converted or Failed as the output that ends a job: CloudEvents 1.0, binary mode.
func Terminal(j job.Job, subject string, body any, at time.Time) stage.Output {
	id := TerminalID(j)
	return stage.Output{
		Subject: subject, ID: id, Body: body,
		Header: map[string]string{
			"ce-specversion":     "1.0",
			"ce-id":              id,
			"ce-type":            "pdfmill." + subject + ".v1",
			"ce-source":          "/pdfmill",
			"ce-subject":         j.Source.Path(),
			"ce-time":            at.UTC().Format(time.RFC3339Nano),
			"ce-datacontenttype": "application/json",
			"content-type":       "application/json",
		},
	}
}
