package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/failure"
)

const (
	// maxBreaks is how many pages of a document may break a probe before nobody looks into its other pages.
	maxBreaks = 3
	// thumbnailWait is what the picture of the first page may take: it is an ornament.
	thumbnailWait = 2 * time.Second
)

// Document is what to look at.
type Document struct {
	Path      string   // absolute
	Passwords []string // tried in order, after none
	Thumbnail int      // longest side of a picture of the first page, in pixels; 0: none
	Grids     bool     // look where tables go on over the edge of a page
	Readable  bool     // look how readable each page's text is, and how much of the page images cover
}

// Sight is what was found of a document.
type Sight struct {
	Facts     facts.Facts
	Thumbnail []byte // PNG
	Memory    int64  // bytes that the largest sandbox which looked at it has taken, by then
}

// Inspect opens a document and looks into its pages. A page that can't be loaded or breaks a bound is in Facts.Failed, also when it took the probe with it.
//
// The error wraps ErrPassword, ErrHandler or ErrFormat, or is a *failure.Error: limit-time or limit-memory, when opening the document broke that bound
// in a fresh probe; pdf-corrupt, when it broke the sandbox; unhealthy when no probe can be had.
func (p *Pool) Inspect(ctx context.Context, d Document) (Sight, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return Sight{}, fmt.Errorf("wait for a PDFium probe: %w", ctx.Err())
	}
	if err := p.config.User.Read(d.Path); err != nil {
		return Sight{}, failure.New(failure.Unhealthy, "let the probe read", d.Path, err)
	}
	t := &talk{pool: p, document: d, from: 1}
	for fresh := false; ; fresh = true {
		c, err := p.take(ctx, fresh)
		if err != nil {
			return Sight{}, err
		}
		if over, err := t.hold(ctx, c); over {
			return Sight{t.facts, t.thumbnail, t.memory}, err
		}
	}
}

// talk is the inspection of one document, over as many probes as it wears out.
type talk struct {
	pool      *Pool
	document  Document
	facts     facts.Facts
	opened    bool
	thumbnail []byte
	memory    int64
	from      int // first page that nothing is known of
	breaks    int // pages that took a probe with them
}

// hold asks one probe about the pages from t.from on. It reports whether all is said; if not, another probe must go on.
func (t *talk) hold(ctx context.Context, c *child) (over bool, err error) {
	config, virgin, sound, open := t.pool.config, c.asked == 0, false, false
	defer func() {
		if sound {
			t.pool.giveBack(c)
		} else {
			c.kill()
		}
	}()
	c.asked++
	q := question{
		Path: t.document.Path, Passwords: t.document.Passwords, From: t.from, Bounds: config.Bounds, Effort: config.Effort, Thumbnail: t.document.Thumbnail,
		Readable: t.document.Readable, Grids: t.document.Grids,
	}
	if err := c.send(q); err != nil { // it died while nobody looked
		return t.lost(virgin, unavailable(err))
	}
	for limit := config.Limit; ; limit = config.PageLimit { // opening has a bound of its own
		a, err := c.await(ctx, limit)
		t.memory = max(t.memory, a.Memory)
		switch {
		case ctx.Err() != nil:
			return true, fmt.Errorf("inspect document: %w", ctx.Err())
		case err != nil && open:
			return t.broke(virgin && (errors.Is(err, errLate) || t.from == q.From), t.stalled(err))
		case err != nil:
			return t.lost(virgin, t.unopened(err))
		}
		switch a.Code {
		case codeOpened:
			if open = true; !t.opened {
				t.opened, t.facts = true, *a.Facts
			}
		case codePage:
			t.page(a)
			if a.Last { // it ran out of room, and lived to tell about this page: another goes on with the next
				return false, nil
			}
		case codeDone:
			t.done(*a.Summary)
			sound = !a.Last && t.picture(ctx, c)
			return true, nil
		case codeTrap, codeOutOfRoom:
			if a.At > 0 {
				t.from = a.At
				alone := a.Code == codeTrap || t.from == q.From // the pages before may have left it no room
				return t.broke(virgin && alone || a.Failed != nil, t.trapped(a))
			}
			return t.lost(virgin, t.unopenable(a))
		default:
			sound = !a.Last
			return true, t.refusal(a)
		}
	}
}

// page notes what is said of a page.
func (t *talk) page(a answer) {
	f := &t.facts
	switch {
	case a.Failed != nil:
		f.Failed = append(f.Failed, *a.Failed)
		t.from = a.Failed.Page + 1
	case a.Page != nil:
		f.LoadablePages++
		f.MaxWidth, f.MaxHeight = max(f.MaxWidth, a.Page.Width), max(f.MaxHeight, a.Page.Height)
		f.Images += int64(a.Page.Images)
		if a.Page.Chars > 0 {
			f.Chars += int64(a.Page.Chars)
			f.TextPages++
		}
		f.PageList = append(f.PageList, *a.Page)
		t.from = a.Page.Page + 1
	}
}

// done notes what is known when all pages were looked into. A probe that took over from another knows less of the fonts and the language.
func (t *talk) done(s summary) {
	f := &t.facts
	if f.Language == "" && s.Language != "" {
		f.Language, f.LanguageFrom = s.Language, "guessed"
	}
	if f.Fonts.Looked == 0 {
		f.Fonts = s.Fonts
	}
	if f.Partial == "" {
		f.Partial = s.Partial
	}
}

// picture waits for the thumbnail, and reports whether the probe is fit for another document.
func (t *talk) picture(ctx context.Context, c *child) bool {
	if t.document.Thumbnail == 0 || t.facts.LoadablePages == 0 || len(t.facts.PageList) == 0 || t.breaks > 0 {
		return true
	}
	a, err := c.await(ctx, thumbnailWait)
	t.memory = max(t.memory, a.Memory)
	if err != nil || a.Code != codeThumbnail {
		return false
	}
	t.thumbnail = a.Thumbnail
	return !a.Last
}

// broke deals with a page that took the probe with it. In a probe that had served before, what it served may be to blame, other documents or pages: the page gets another chance.
func (t *talk) broke(certain bool, page facts.FailedPage) (over bool, err error) {
	if !certain {
		return false, nil
	}
	t.facts.Failed = append(t.facts.Failed, page)
	t.from = page.Page + 1
	if t.breaks++; t.breaks < maxBreaks && t.from <= t.facts.Pages {
		return false, nil
	}
	if left := t.facts.Pages - t.from + 1; left > 0 {
		t.facts.LoadablePages += left // as far as anybody knows
		t.facts.Partial = fmt.Sprintf("nothing is known of the pages from %d on: %d pages before them broke the inspection", t.from, t.breaks)
	}
	return true, nil
}

// lost deals with a probe that ended before the document was open.
func (t *talk) lost(certain bool, err error) (over bool, _ error) { return certain, err }

// stalled says what is wrong with the page on which a probe went silent.
func (t *talk) stalled(err error) facts.FailedPage {
	if errors.Is(err, errLate) {
		return *broken(t.from, failure.LimitPageTime, "takes longer than %s to look into", t.pool.config.PageLimit)
	}
	return *broken(t.from, failure.LimitMemory, "ends the process that looks into it: %v", err)
}

// trapped says what is wrong with the page that broke the sandbox.
func (t *talk) trapped(a answer) facts.FailedPage {
	switch {
	case a.Failed != nil:
		return *a.Failed
	case a.Code == codeOutOfRoom:
		return *broken(a.At, failure.LimitMemory, "needs more than the %d bytes that its inspection may take", t.pool.config.Memory)
	}
	return *broken(a.At, failure.PDFCorrupt, "breaks PDFium: %s", a.Detail)
}

func (t *talk) unopened(err error) error {
	if errors.Is(err, errLate) {
		return failure.Newf(failure.LimitTime, "open document", "", "opening it takes longer than %s", t.pool.config.Limit)
	}
	return failure.New(failure.LimitMemory, "open document", "", err)
}

func (t *talk) unopenable(a answer) error {
	if a.Code == codeOutOfRoom {
		return failure.Newf(failure.LimitMemory, "open document", "", "it needs more than the %d bytes that its inspection may take", t.pool.config.Memory)
	}
	return failure.Newf(failure.PDFCorrupt, "open document", "", "it breaks PDFium: %s", a.Detail)
}

func (t *talk) refusal(a answer) error {
	switch a.Code {
	case codePassword:
		return ErrPassword
	case codeHandler:
		return ErrHandler
	case codeFormat:
		return ErrFormat
	case codeTooLarge:
		return failure.Newf(failure.LimitContent, "open document", "", "what is needed to open it inflates to more than %d bytes, the limit for a page", t.pool.config.Bounds.Content)
	case codeUnopened:
		return failure.Newf(failure.Unhealthy, "open", t.document.Path, "%s", a.Detail)
	}
	return failure.Newf(failure.Unhealthy, "inspect document", "", "the probe answered %q", a.Code)
}
