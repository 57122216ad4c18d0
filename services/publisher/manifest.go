package publisher

import (
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// Manifest is r<revision>/manifest.json: everything about one product, and the claim on its revision number. It is written once, before what it
// describes; the product is complete when pdf.converted says so.
type Manifest struct {
	Format   int    `json:"format"` // 1; fields are only ever added
	Job      string `json:"job"`
	Drop     string `json:"drop"` // who asked first
	Pass     int    `json:"pass"`
	Revision int    `json:"revision"`
	// Inputs is the digest of all that decides about the content: the same inputs are the same revision.
	Inputs string `json:"inputs"`
	Join   int    `json:"join"` // version of the way of joining
	Runs   []Run  `json:"runs"` // what the pages were taken from

	Source         document.Source `json:"source"` // of the first drop
	Tenant         string          `json:"tenant,omitempty"`
	Options        job.Options     `json:"options"`
	Pages          int             `json:"pages"` // of the document
	Want           pages.Set       `json:"want"`  // the pages asked for
	ConvertedPages int             `json:"converted_pages"`
	Complete       bool            `json:"complete"`
	Markdown       event.Markdown  `json:"markdown"`
	Images         []event.Image   `json:"images"`
	// Layout is that of the command marker, where it is not pdfmill's. Meta is the key of what marker says about the document, Debug its debug output; absent
	// where there is none.
	Layout string        `json:"layout,omitempty"`
	Meta   string        `json:"meta,omitempty"`
	Debug  []event.Image `json:"debug,omitempty"`
	Engine event.Engine  `json:"engine"`
	// Facts are what the validator found in the document, Thumbnail its picture of the first page; absent when they are not there any more.
	Facts     *facts.Facts  `json:"facts,omitempty"`
	Thumbnail *event.Image  `json:"thumbnail,omitempty"`
	Timings   event.Timings `json:"timings"`
	Attempts  int           `json:"attempts"`
	PageList  []Page        `json:"page_list"`
	CreatedAt time.Time     `json:"created_at"`
	Version   string        `json:"version"` // of pdfmill
}

// Page is one wanted page of a Manifest.
type Page struct {
	Page     int           `json:"page"`
	Engine   string        `json:"engine,omitempty"`
	Kind     string        `json:"kind,omitempty"` // what the page is, see facts.Page: why it went to this engine, where one was chosen for each page
	Status   string        `json:"status"`         // ok | degraded | failed
	Chars    int           `json:"chars"`
	Seconds  float64       `json:"seconds"`
	Warnings []string      `json:"warnings,omitempty"`
	Class    failure.Class `json:"class,omitempty"`    // of a failed page
	Message  string        `json:"message,omitempty"`  // of a failed page
	Fidelity *float64      `json:"fidelity,omitempty"` // share of the text layer's words that came out; absent when there is nothing to compare with
}

// name says of each page what the validator found it to be.
func (m *Manifest) name(f *facts.Facts) {
	if f == nil {
		return
	}
	kinds := make(map[int]string, len(f.PageList))
	for _, p := range f.PageList {
		kinds[p.Page] = p.Kind
	}
	for i := range m.PageList {
		m.PageList[i].Kind = kinds[m.PageList[i].Page]
	}
}

// selection is the plan by which the product was made.
func (m Manifest) selection() selection {
	s := selection{runs: m.Runs, layout: m.Layout, lost: map[int]event.FailedPage{}, digest: m.Inputs}
	for _, p := range m.PageList {
		if p.Status == event.PageFailed {
			s.lost[p.Page] = event.FailedPage{Page: p.Page, Class: p.Class, Message: p.Message}
		}
	}
	return s
}

// fidelity sums up how much of the text layers came out; nil when no page had one to compare with.
func fidelity(list []Page) *event.Fidelity {
	f, sum := event.Fidelity{Lowest: 1}, 0.0
	for _, p := range list {
		if p.Fidelity == nil {
			continue
		}
		f.Pages++
		sum += *p.Fidelity
		if *p.Fidelity < f.Lowest || f.LowestPage == 0 {
			f.Lowest, f.LowestPage = *p.Fidelity, p.Page
		}
	}
	if f.Pages == 0 {
		return nil
	}
	f.Mean = sum / float64(f.Pages)
	return &f
}

// failedPages lists the pages that did not come through.
func failedPages(list []Page) []event.FailedPage {
	out := []event.FailedPage{}
	for _, p := range list {
		if p.Status == event.PageFailed {
			out = append(out, event.FailedPage{Page: p.Page, Class: p.Class, Message: p.Message})
		}
	}
	return out
}

// warnings lists what is to be said about the pages that did.
func warnings(list []Page) []event.PageWarning {
	out := []event.PageWarning{}
	for _, p := range list {
		for _, w := range p.Warnings {
			out = append(out, event.PageWarning{Page: p.Page, Warning: w})
		}
	}
	return out
}
