package validator

import (
	"context"
	"errors"
	"fmt"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/secret"
	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
	"github.com/pdfmill/pdfmill/services/validator/sandbox"
)

// Policies for documents that are odd, but not broken beyond use.
type Policies struct {
	Repair       string `name:"repair" env:"PDFMILL_REPAIR" enum:"off,safe" default:"off" help:"What to do with a damaged document: off refuses it; safe lets qpdf, where it is installed, make a repaired copy, and says so. The original is kept. (${enum})"`
	Restrictions string `name:"restrictions" env:"PDFMILL_RESTRICTIONS" enum:"ignore,respect" default:"ignore" help:"What to do with a document that opens, but whose author forbids taking text out of it: ignore converts it, respect refuses it. (${enum})"`
}

// Values of Policies.
const (
	RepairOff           = "off"
	RepairSafe          = "safe"
	RestrictionsIgnore  = "ignore"
	RestrictionsRespect = "respect"
)

// Inspector says what a file is and whether it may go on.
type Inspector struct {
	limits   Limits
	policies Policies
	secrets  *secret.Store
	pool     *sandbox.Pool
	user     *unprivileged.User // of the repair tool; nil: that of this process
}

// NewInspector returns an inspector; probes start when there is something to inspect, or with Warm.
func NewInspector(c sandbox.Config, l Limits, p Policies, secrets *secret.Store) (*Inspector, error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	pool, err := sandbox.NewPool(l.sandbox(c))
	if err != nil {
		return nil, err
	}
	return &Inspector{limits: l, policies: p, secrets: secrets, pool: pool, user: c.User}, nil
}

// Warm starts a probe ahead of the first document.
func (i *Inspector) Warm(ctx context.Context) error { return i.pool.Warm(ctx) }

// Close ends the probes.
func (i *Inspector) Close() { i.pool.Close() }

// Request is a file to inspect.
type Request struct {
	Path        string // absolute
	PasswordRef string // name of the secret whose passwords may open it; "" for none
	Thumbnail   int    // longest side of a picture of the first page, in pixels; 0: none
	Scratch     string // folder for a repaired copy
	Grids       bool   // look where tables go on over the edge of a page: for the plan
	Readable    bool   // look how readable each page's text is: for the choice of an engine
}

// Finding is a document that may go on.
type Finding struct {
	Facts     facts.Facts
	Thumbnail []byte // PNG
	Memory    int64  // bytes that the sandbox has taken
	// Repaired is the path of the copy that goes on instead of the original; whoever asked removes it. "": the original does.
	Repaired string
}

// Inspect looks at a file. A refusal is a *failure.Error of a permanent class, whose message says what the file is instead, where it is damaged, what would
// open it, or which bound it breaks; the Finding then has the facts as far as they are known.
func (i *Inspector) Inspect(ctx context.Context, r Request) (Finding, error) {
	seen, err := sniffFile(r.Path)
	if err != nil {
		return Finding{}, err
	}
	switch {
	case seen.size == 0:
		return Finding{}, refuse(failure.PDFEmpty, "the file has no bytes")
	case seen.size > i.limits.MaxBytes:
		return Finding{}, refuse(failure.LimitBytes, "it has %d bytes, the limit is %d", seen.size, i.limits.MaxBytes)
	case seen.header < 0:
		return Finding{}, refuse(failure.NotPDF, "it is %s, not a PDF: there is no %%PDF- in its first %d bytes", seen.kind(), sniffBytes)
	case seen.archive: // PDFium would open the first PDF that is stored in it, and nobody would miss the others
		return Finding{}, failure.Newf(failure.NotPDF, "open document", "", "it is %s that has a PDF in it", seen.kind()).WithHint("take the PDF out of it")
	}
	found, err := i.open(ctx, r, seen)
	damaged := failure.ClassOf(err, "") == failure.PDFCorrupt
	if !damaged || i.policies.Repair != RepairSafe {
		if damaged {
			err = failure.New(failure.PDFCorrupt, "open document", "", errors.Unwrap(err)).WithHint("send it whole again, or let qpdf try: --repair safe")
		}
		return found, err
	}
	return i.repaired(ctx, r, seen, err)
}

// open looks at a file in the sandbox and judges it.
func (i *Inspector) open(ctx context.Context, r Request, seen sight) (Finding, error) {
	var found Finding
	passwords, unknown := i.passwords(r.PasswordRef)
	inside, err := i.pool.Inspect(ctx, sandbox.Document{Path: r.Path, Passwords: passwords, Thumbnail: r.Thumbnail, Readable: r.Readable, Grids: r.Grids})
	found.Facts, found.Thumbnail, found.Memory = inside.Facts, inside.Thumbnail, inside.Memory
	switch {
	case errors.Is(err, sandbox.ErrPassword):
		return found, i.locked(r, seen, len(passwords), unknown)
	case errors.Is(err, sandbox.ErrHandler):
		return found, failure.Newf(failure.PDFEncrypted, "open document", "", "it is encrypted with %s, which PDFium does not know", seen.handler()).
			WithHint("save it without encryption, in the program that it was made for")
	case errors.Is(err, sandbox.ErrFormat) && seen.disguised():
		return found, refuse(failure.NotPDF, "it is %s, not a PDF", seen.kind())
	case errors.Is(err, sandbox.ErrFormat):
		return found, refuse(failure.PDFCorrupt, "%s", seen.damage())
	case failure.ClassOf(err, "") == failure.LimitTime && seen.cut(): // the reason is not that it is large: PDFium looked for what is missing
		return found, refuse(failure.PDFCorrupt, "%s", seen.damage())
	case err != nil:
		return found, err
	}
	return found, i.judge(&found.Facts)
}

// passwords looks the secret up. A document that needs none does not care whether there is one.
func (i *Inspector) passwords(ref string) (plain []string, unknown error) {
	if ref == "" {
		return nil, nil
	}
	found, err := i.secrets.Lookup(ref)
	if err != nil {
		return nil, err
	}
	for _, s := range found {
		plain = append(plain, s.Reveal())
	}
	return plain, nil
}

// locked says what is missing to open an encrypted document.
func (i *Inspector) locked(r Request, seen sight, tried int, unknown error) error {
	refused := failure.Newf(failure.PDFEncrypted, "open document", "", "it needs a password to be opened")
	switch version := seen.encryption(); {
	case version != "":
		return failure.Newf(failure.PDFEncrypted, "open document", "", "it is encrypted with %s, which PDFium does not know", version).
			WithHint("save it without encryption, in the program that it was made for")
	case errors.Is(unknown, secret.ErrUnknown):
		return failure.Newf(failure.PDFEncrypted, "open document", "", "it needs a password to be opened: %w", unknown).
			WithHint("add the secret, then check or replay it again")
	case unknown != nil:
		return failure.New(failure.Unhealthy, "open document", "", unknown)
	case tried == 1:
		return failure.Newf(failure.PDFEncrypted, "open document", "", "wrong password: that of secret %q does not open it", r.PasswordRef).
			WithHint("correct the secret, then check or replay it again")
	case tried > 1:
		return failure.Newf(failure.PDFEncrypted, "open document", "", "wrong password: none of the %d of secret %q opens it", tried, r.PasswordRef).
			WithHint("correct the secret, then check or replay it again")
	}
	return refused.WithHint("name a secret that has it with the option password-ref, or save it without a password")
}

// judge holds a document that opens against the limits and policies.
func (i *Inspector) judge(f *facts.Facts) error {
	switch {
	case f.Pages == 0:
		return refuse(failure.PDFCorrupt, "it opens, but has no pages")
	case f.Pages > i.limits.MaxPages:
		return refuse(failure.LimitPages, "it claims %d pages, the limit is %d", f.Pages, i.limits.MaxPages)
	case f.LoadablePages == 0 && f.Pages == 1:
		return refuse(f.Failed[0].Class, "its only page can't go on: %s", f.Failed[0].Message)
	case f.LoadablePages == 0:
		return refuse(f.Failed[0].Class, "none of its %d pages can go on; page %d: %s", f.Pages, f.Failed[0].Page, f.Failed[0].Message)
	case f.NoExtract && i.policies.Restrictions == RestrictionsRespect:
		return failure.Newf(failure.PDFEncrypted, "open document", "", "it can be read, but its author forbids taking text out of it, which is respected here").
			WithHint("--restrictions ignore converts it all the same")
	case f.NoExtract:
		f.Restrictions = RestrictionsIgnore
	}
	return nil
}

func refuse(class failure.Class, format string, args ...any) error {
	return failure.New(class, "open document", "", fmt.Errorf(format, args...))
}
