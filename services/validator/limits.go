package validator

import (
	"errors"
	"fmt"
	"time"

	"github.com/pdfmill/pdfmill/services/validator/sandbox"
)

// Limits of a document. Each has an error class of its own, and the message names value and bound. Those of a page cost that page only; the document is
// refused when no page is left.
type Limits struct {
	MaxBytes  int64         `name:"max-bytes" env:"PDFMILL_MAX_BYTES" default:"2147483648" help:"Bytes of a document at most (limit-bytes)."`
	MaxPages  int           `name:"max-pages" env:"PDFMILL_MAX_PAGES" default:"10000" help:"Pages of a document at most (limit-pages)."`
	MaxTime   time.Duration `name:"inspect-timeout" env:"PDFMILL_INSPECT_TIMEOUT" default:"20s" help:"Time that opening a document may take (limit-time)."`
	MaxMemory int64         `name:"inspect-memory" env:"PDFMILL_INSPECT_MEMORY" default:"268435456" help:"Bytes that the inspection of a document may take (limit-memory)."`

	MaxPoints      float64       `name:"max-page-points" env:"PDFMILL_MAX_PAGE_POINTS" default:"100000" help:"Width or height of a page at most, in points, 1/72 inch (limit-page-size)."`
	MaxPixels      int64         `name:"max-page-pixels" env:"PDFMILL_MAX_PAGE_PIXELS" default:"500000000" help:"Pixels of a page at most, at page-dpi (limit-pixels)."`
	DPI            float64       `name:"page-dpi" env:"PDFMILL_PAGE_DPI" default:"192" help:"Resolution at which engines draw pages, for max-page-pixels."`
	MaxImagePixels int64         `name:"max-image-pixels" env:"PDFMILL_MAX_IMAGE_PIXELS" default:"600000000" help:"Pixels of one image at most (limit-pixels)."`
	MaxObjects     int           `name:"max-page-objects" env:"PDFMILL_MAX_PAGE_OBJECTS" default:"1000000" help:"Objects of a page at most (limit-objects)."`
	MaxContent     int64         `name:"max-page-content" env:"PDFMILL_MAX_PAGE_CONTENT" default:"50331648" help:"Bytes that the streams of a page, without images, may inflate to (limit-content)."`
	MaxChars       int           `name:"max-page-chars" env:"PDFMILL_MAX_PAGE_CHARS" default:"500000" help:"Characters of a page at most (limit-chars)."`
	MaxNesting     int           `name:"max-page-nesting" env:"PDFMILL_MAX_PAGE_NESTING" default:"24" help:"Forms within forms on a page at most (limit-nesting)."`
	MaxPageTime    time.Duration `name:"inspect-page-timeout" env:"PDFMILL_INSPECT_PAGE_TIMEOUT" default:"10s" help:"Time that looking into a page may take (limit-page-time)."`

	FactsTime time.Duration `name:"facts-time" env:"PDFMILL_FACTS_TIME" default:"10s" help:"Time spent on looking into pages; of later ones only the size is checked, and the facts say so."`
	TextTime  time.Duration `name:"facts-text-time" env:"PDFMILL_FACTS_TEXT_TIME" default:"500ms" help:"Of it, the time spent on counting characters."`
}

// DefaultLimits are the limits of those who set none.
func DefaultLimits() Limits {
	return Limits{
		MaxBytes: 2 << 30, MaxPages: 10_000, MaxTime: 20 * time.Second, MaxMemory: 256 << 20,
		MaxPoints: 100_000, MaxPixels: 500_000_000, DPI: 192, MaxImagePixels: 600_000_000, MaxObjects: 1_000_000, MaxContent: 48 << 20,
		MaxChars: 500_000, MaxNesting: 24, MaxPageTime: 10 * time.Second,
		FactsTime: 10 * time.Second, TextTime: 500 * time.Millisecond,
	}
}

// Validate reports everything that is wrong with the limits.
func (l Limits) Validate() error {
	var faults []error
	for _, positive := range []struct {
		name string
		ok   bool
	}{
		{"max-bytes", l.MaxBytes > 0},
		{"max-pages", l.MaxPages > 0},
		{"inspect-timeout", l.MaxTime > 0},
		{"max-page-points", l.MaxPoints > 0},
		{"max-page-pixels", l.MaxPixels > 0},
		{"page-dpi", l.DPI > 0},
		{"max-image-pixels", l.MaxImagePixels > 0},
		{"max-page-objects", l.MaxObjects > 0},
		{"max-page-content", l.MaxContent > 0},
		{"max-page-chars", l.MaxChars > 0},
		{"max-page-nesting", l.MaxNesting > 0},
		{"inspect-page-timeout", l.MaxPageTime > 0},
		{"facts-time", l.FactsTime >= 0},
		{"facts-text-time", l.TextTime >= 0},
	} {
		if !positive.ok {
			faults = append(faults, fmt.Errorf("%s must be positive", positive.name))
		}
	}
	const most = 4 << 30 // what WebAssembly can address
	if l.MaxBytes >= most {
		faults = append(faults, fmt.Errorf("max-bytes is %d: PDFium can't read a document of 4 GiB or more", l.MaxBytes))
	}
	if l.MaxMemory < 32<<20 || l.MaxMemory > most {
		faults = append(faults, fmt.Errorf("inspect-memory is %d bytes: PDFium needs 32 MiB and can't use more than 4 GiB", l.MaxMemory))
	}
	return errors.Join(faults...)
}

// sandbox puts the limits where they are enforced.
func (l Limits) sandbox(c sandbox.Config) sandbox.Config {
	c.Memory, c.Limit, c.PageLimit = l.MaxMemory, l.MaxTime, l.MaxPageTime
	c.Effort = sandbox.Effort{Load: l.FactsTime, Text: l.TextTime}
	c.Bounds = sandbox.Bounds{
		Pages: l.MaxPages, Points: l.MaxPoints, Pixels: l.MaxPixels, DPI: l.DPI, ImagePixels: l.MaxImagePixels, Objects: l.MaxObjects,
		Content: l.MaxContent, Chars: l.MaxChars, Nesting: l.MaxNesting,
	}
	return c
}
