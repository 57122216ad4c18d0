package event

import (
	"encoding/json"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// MaxResult bounds, in bytes, the result of one range: whoever joins it has it in memory.
const MaxResult = 256 << 20

// RangeResult is what a range gave: the object `result.json`. It holds the Markdown of its pages, so that a range is one object
// that is either whole or absent; images lie beside it. A good one is written once and never changed.
type RangeResult struct {
	Range   pages.Range       `json:"range"`
	Engine  string            `json:"engine"`
	Version string            `json:"version"`
	Models  map[string]string `json:"models,omitempty"`
	// Versions names the parts that made the result: the runner, its libraries, Python.
	Versions map[string]string `json:"versions,omitempty"`
	Mode     string            `json:"mode"`
	Pages    []PageResult      `json:"pages"`
	Images   []Image           `json:"images"` // Key is relative to the folder of result.json
	// Debug are files for people to look at, where an option asked for them; keys as of Images.
	Debug   []Image `json:"debug,omitempty"`
	Seconds float64 `json:"seconds"`
	// PeakDevice and PeakHost are bytes: the most the worker used during this range.
	PeakDevice int64 `json:"peak_device"`
	PeakHost   int64 `json:"peak_host"`
}

// Page statuses.
const (
	PageOK       = "ok"
	PageDegraded = "degraded" // converted in a simpler way than asked for
	PageFailed   = "failed"
)

// PageResult is one page of a range.
type PageResult struct {
	Page     int           `json:"page"`
	Status   string        `json:"status"` // ok | degraded | failed
	Markdown string        `json:"markdown,omitempty"`
	Chars    int           `json:"chars"`
	Seconds  float64       `json:"seconds"`
	Warnings []string      `json:"warnings,omitempty"`
	Class    failure.Class `json:"class,omitempty"`
	Message  string        `json:"message,omitempty"`
	// Fidelity is the share of the words of the page's text layer that came out; nil where there is nothing to compare with.
	Fidelity *float64 `json:"fidelity,omitempty"`
	// Engine made the page, when it was not the engine of the range.
	Engine string `json:"engine,omitempty"`
	// About is what is known of the page beside its text, where its engine tells.
	About *About `json:"about,omitempty"`
}

// About is what an engine tells of a page beside its text.
type About struct {
	// Headings are those whose level is for whoever has the whole document to decide.
	Headings []Heading `json:"headings,omitempty"`
	// Contents is marker's list of the page's headings, Stats its count of blocks and the like: both as it writes them in <name>_meta.json.
	Contents json.RawMessage `json:"contents,omitempty"`
	Stats    json.RawMessage `json:"stats,omitempty"`
}

// Heading is a heading of a page: in Markdown and HTML the line that it begins in, in JSON the block.
type Heading struct {
	Line  int     `json:"line,omitempty"`  // from 0
	Block string  `json:"block,omitempty"` // id
	Size  float64 `json:"size"`            // height of one of its lines, in points
}

// Good reports whether every page came through as asked: only such a result may serve later passes.
func (r RangeResult) Good() bool {
	for _, p := range r.Pages {
		if p.Status != PageOK {
			return false
		}
	}
	return len(r.Pages) == r.Range.Len()
}
