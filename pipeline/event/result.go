package event

import (
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
	Seconds  float64           `json:"seconds"`
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
