package publisher

import (
	"errors"
	"fmt"

	"github.com/pdfmill/pdfmill/pipeline/retention"
)

// What an incomplete document becomes.
const (
	IncompleteConverted = "converted"
	IncompleteFailed    = "failed"
)

// MaxConcurrency bounds Config.Concurrency: each join holds one range of a document in memory and the document in a temporary file.
const MaxConcurrency = 256

// Config of the publisher.
type Config struct {
	Concurrency int    `name:"publisher-concurrency" env:"PDFMILL_PUBLISHER_CONCURRENCY" default:"4" help:"Documents joined at once (1 to 256)."`
	Incomplete  string `name:"incomplete" env:"PDFMILL_INCOMPLETE" enum:"converted,failed" default:"converted" help:"What a document becomes when some of its pages could not be converted: converted (with a mark in the place of each missing page) or failed."`

	Layout string `name:"stored-layout" env:"PDFMILL_STORED_LAYOUT" enum:"pdfmill,marker" default:"pdfmill" help:"How a revision lies in the store: pdfmill: document.md, images/; marker: as the command marker writes it, <name>/<name>.md without marks between pages, images and <name>_meta.json beside it."`

	// Sweep is done by the publisher's process, because what it takes away are mostly the parts of what was published.
	Sweep retention.Settings `embed:""`
}

// Validate reports every setting that can't be used, joined.
func (c Config) Validate() error {
	var faults []error
	if c.Concurrency < 1 || c.Concurrency > MaxConcurrency {
		faults = append(faults, fmt.Errorf("publisher-concurrency is %d, it must be 1 to %d", c.Concurrency, MaxConcurrency))
	}
	if c.Incomplete != IncompleteConverted && c.Incomplete != IncompleteFailed {
		faults = append(faults, fmt.Errorf("incomplete is %q, it must be %s or %s", c.Incomplete, IncompleteConverted, IncompleteFailed))
	}
	if c.Layout != "" && c.Layout != LayoutOwn && c.Layout != LayoutMarker {
		faults = append(faults, fmt.Errorf("stored-layout is %q, it must be %s or %s", c.Layout, LayoutOwn, LayoutMarker))
	}
	return errors.Join(append(faults, c.Sweep.Validate())...)
}
