package batch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// ReportName is the file that says what became of each input.
const ReportName = "report.json"

// Outcomes of a document.
const (
	OutcomeConverted = "converted"
	OutcomeFailed    = "failed"
)

// Document is what became of one input.
type Document struct {
	Input          string              `json:"input"`   // the path as given, or as found
	Outcome        string              `json:"outcome"` // converted | failed
	Class          failure.Class       `json:"class"`   // of the failure; "" when converted
	Message        string              `json:"message"` // a sentence about the failure; "" when converted
	Pages          int                 `json:"pages"`
	ConvertedPages int                 `json:"converted_pages"`
	FailedPages    []event.FailedPage  `json:"failed_pages"`
	Warnings       []event.PageWarning `json:"warnings"`
	Seconds        float64             `json:"seconds"`  // from taking the input up to having written its output
	Markdown       string              `json:"markdown"` // the file written; "" when failed

	// Kept says that an earlier run converted the same bytes with the same options, and its output was kept.
	Kept bool `json:"kept,omitempty"`
	// Cached says that the pipeline had all pages from an earlier drop: nothing was converted.
	Cached bool `json:"cached,omitempty"`
	// Job names the work: the same bytes with the same options are the same job.
	Job string `json:"job,omitempty"`
	// SHA256 of the input's bytes, where they were read.
	SHA256 string `json:"sha256,omitempty"`
	// File is the absolute path of the input, by which a later run knows it again.
	File string `json:"file,omitempty"`
	// DeadLetter is the id under which a running pipeline keeps the failure.
	DeadLetter string `json:"dead_letter,omitempty"`
}

// Totals sums a report up.
type Totals struct {
	Documents      int     `json:"documents"`
	Converted      int     `json:"converted"`
	Failed         int     `json:"failed"`
	Kept           int     `json:"kept"`       // of the converted ones: in an earlier run
	Unfinished     int     `json:"unfinished"` // not taken up, or not ended, when the run was interrupted
	Pages          int     `json:"pages"`
	ConvertedPages int     `json:"converted_pages"`
	FailedPages    int     `json:"failed_pages"`
	Warnings       int     `json:"warnings"`
	Seconds        float64 `json:"seconds"` // of this run
}

// Report is the file report.json.
type Report struct {
	Documents []Document `json:"documents"`
	Totals    Totals     `json:"totals"`
	// Unfinished lists inputs of this run without an outcome (yet).
	Unfinished []string `json:"unfinished,omitempty"`
	// Earlier holds documents that former runs wrote into the same directory and this run was not asked about: their files are not overwritten, and
	// they are known again when a run asks for them.
	Earlier []Document `json:"earlier,omitempty"`
}

// LoadReport reads the report of an earlier run in dir; there being none is an empty report.
func LoadReport(dir string) (Report, error) {
	path := filepath.Join(dir, ReportName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Report{}, nil
	}
	if err != nil {
		return Report{}, fmt.Errorf("read the report of the earlier run: %w", err)
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return Report{}, fmt.Errorf("read the report of the earlier run, %s: %w (it is not a report of pdfmill: move it away, or choose another directory)", path, err)
	}
	return r, nil
}

// Save writes the report into dir, whole or not at all.
func (r Report) Save(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("marshal the report: %w", err)
	}
	return writeFile(filepath.Join(dir, ReportName), append(data, '\n'))
}

// sum computes the totals of documents.
func sum(documents []Document, unfinished int, seconds float64) Totals {
	t := Totals{Documents: len(documents) + unfinished, Unfinished: unfinished, Seconds: round(seconds)}
	for _, d := range documents {
		if d.Outcome == OutcomeConverted {
			t.Converted++
		} else {
			t.Failed++
		}
		if d.Kept {
			t.Kept++
		}
		t.Pages += d.Pages
		t.ConvertedPages += d.ConvertedPages
		t.FailedPages += len(d.FailedPages)
		t.Warnings += len(d.Warnings)
	}
	return t
}
