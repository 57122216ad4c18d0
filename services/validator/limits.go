package validator

import (
	"errors"
	"fmt"
	"time"
)

// Limits of a document. Each has an error class of its own, and the message names value and bound.
type Limits struct {
	MaxBytes  int64         `name:"max-bytes" env:"PDFMILL_MAX_BYTES" default:"2147483648" help:"Bytes of a document at most."`
	MaxPages  int           `name:"max-pages" env:"PDFMILL_MAX_PAGES" default:"10000" help:"Pages of a document at most."`
	MaxPoints float64       `name:"max-page-points" env:"PDFMILL_MAX_PAGE_POINTS" default:"100000" help:"Width or height of a page at most, in points (1/72 inch)."`
	MaxTime   time.Duration `name:"inspect-timeout" env:"PDFMILL_INSPECT_TIMEOUT" default:"20s" help:"Time that the inspection of a document may take."`
	MaxMemory int64         `name:"inspect-memory" env:"PDFMILL_INSPECT_MEMORY" default:"268435456" help:"Bytes that the inspection of a document may take."`
}

// DefaultLimits are the limits of those who set none.
func DefaultLimits() Limits {
	return Limits{MaxBytes: 2 << 30, MaxPages: 10_000, MaxPoints: 100_000, MaxTime: 20 * time.Second, MaxMemory: 256 << 20}
}

// Validate reports everything that is wrong with the limits.
func (l Limits) Validate() error {
	var faults []error
	if l.MaxBytes < 1 || l.MaxPages < 1 || l.MaxPoints < 1 || l.MaxTime <= 0 {
		faults = append(faults, fmt.Errorf("limits must be positive: %+v", l))
	}
	if l.MaxMemory < 32<<20 {
		faults = append(faults, fmt.Errorf("inspect-memory is %d bytes: PDFium alone needs 32 MiB", l.MaxMemory))
	}
	return errors.Join(faults...)
}
