package validator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/validator/facts"
	"github.com/pdfmill/pdfmill/services/validator/sandbox"
)

// Inspector says what a file is and whether it may go on.
type Inspector struct {
	limits Limits
	pool   *sandbox.Pool
}

// NewInspector returns an inspector; probes start when there is something to inspect, or with Warm.
func NewInspector(c sandbox.Config, l Limits, log *slog.Logger) (*Inspector, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	c.Memory, c.Limit = l.MaxMemory, l.MaxTime
	pool, err := sandbox.NewPool(c, log)
	if err != nil {
		return nil, err
	}
	return &Inspector{limits: l, pool: pool}, nil
}

// Warm starts a probe ahead of the first document.
func (i *Inspector) Warm(ctx context.Context) error { return i.pool.Warm(ctx) }

// Close ends the probes.
func (i *Inspector) Close() { i.pool.Close() }

// Inspect looks at the file at path (absolute). A refusal is a *failure.Error of a permanent class, whose message says what the file is instead, what is
// wrong with it, or which bound it breaks.
func (i *Inspector) Inspect(ctx context.Context, path string) (facts.Facts, error) {
	seen, err := look(path)
	if err != nil {
		return facts.Facts{}, err
	}
	switch {
	case seen.size == 0:
		return facts.Facts{}, failure.Newf(failure.PDFEmpty, "open document", "", "the file has no bytes")
	case seen.size > i.limits.MaxBytes:
		return facts.Facts{}, failure.Newf(failure.LimitBytes, "open document", "", "it has %d bytes, the limit is %d", seen.size, i.limits.MaxBytes)
	case seen.header < 0:
		return facts.Facts{}, failure.Newf(failure.NotPDF, "open document", "", "it is %s, not a PDF: there is no %%PDF- in its first %d bytes", seen.kind(), sniffBytes)
	}
	f, err := i.pool.Probe(ctx, path, i.limits.MaxPages)
	switch {
	case errors.Is(err, sandbox.ErrPassword):
		return f, failure.New(failure.PDFEncrypted, "open document", "", err).WithHint("remove the password, or drop it with one")
	case errors.Is(err, sandbox.ErrHandler):
		return f, failure.New(failure.PDFEncrypted, "open document", "", err).WithHint("save it without encryption")
	case errors.Is(err, sandbox.ErrFormat) && seen.disguised():
		return f, failure.Newf(failure.NotPDF, "open document", "", "it is %s, not a PDF", seen.kind())
	case errors.Is(err, sandbox.ErrFormat):
		return f, failure.Newf(failure.PDFCorrupt, "open document", "", "%s", seen.damage())
	case err != nil:
		return f, err
	}
	return f, i.judge(f)
}

// judge holds a document that opens against the limits.
func (i *Inspector) judge(f facts.Facts) error {
	refuse := func(class failure.Class, format string, args ...any) error {
		return failure.Newf(class, "open document", "", format, args...)
	}
	switch {
	case f.Pages == 0:
		return refuse(failure.PDFCorrupt, "it opens, but has no pages")
	case f.Pages > i.limits.MaxPages:
		return refuse(failure.LimitPages, "it claims %d pages, the limit is %d", f.Pages, i.limits.MaxPages)
	case f.LoadablePages == 0:
		return refuse(failure.PDFCorrupt, "it claims %d pages, and not one of them can be loaded", f.Pages)
	case f.MaxWidth > i.limits.MaxPoints || f.MaxHeight > i.limits.MaxPoints:
		return refuse(failure.LimitPageSize, "a page is %.0f × %.0f points, the limit is %.0f", f.MaxWidth, f.MaxHeight, i.limits.MaxPoints)
	}
	return nil
}

// look reads both ends of a file.
func look(path string) (sight, error) {
	trouble := func(err error) error {
		return failure.New(failure.Unhealthy, "read document", path, err)
	}
	file, err := os.Open(path)
	if err != nil {
		return sight{}, trouble(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return sight{}, trouble(err)
	}
	if !info.Mode().IsRegular() {
		return sight{}, trouble(fmt.Errorf("it is not a regular file"))
	}
	head := make([]byte, min(info.Size(), sniffBytes))
	if _, err := io.ReadFull(file, head); err != nil {
		return sight{}, trouble(err)
	}
	end := make([]byte, min(info.Size(), sniffBytes))
	if _, err := file.ReadAt(end, info.Size()-int64(len(end))); err != nil && !errors.Is(err, io.EOF) {
		return sight{}, trouble(err)
	}
	return sniff(info.Size(), head, end), nil
}
