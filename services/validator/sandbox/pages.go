package sandbox

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/klippa-app/go-pdfium/enums"
	pdfium_errors "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/failure"
)

const (
	// maxVisited is how many objects of a page are looked at one by one: a scan has few, and the first ones of a crowded page tell enough.
	maxVisited = 200
	// suspicious is the inflated content, in bytes, from which PDFium counts the characters of a page whatever that costs.
	suspicious = 1 << 20
	// samplePages are the first pages with text, of which the fonts and the language are looked at, until there is enough of it.
	samplePages = 5
)

// pages looks into every page from the question's first, and says what it finds of each before it goes on: whoever waits knows which page takes so long.
// The error is the sandbox's end.
func (l *look) pages(count int) error {
	var (
		began  = time.Now()
		text   time.Duration
		sample = newSample()
		s      summary
		effort = l.question.Effort
		unread int // pages whose characters were not counted
		shown  int // the first page that came through
	)
	if count > l.question.Bounds.Pages {
		count = 0 // it will be refused for that
	}
	for n := l.question.From; n <= count; n++ {
		l.at = n
		l.meter.reset()
		p := facts.Page{Page: n, Chars: -1}
		failed, err := l.size(&p)
		switch {
		case err != nil:
			return err
		case failed != nil:
		case time.Since(began) > effort.Load:
			if s.Partial == "" {
				s.Partial = fmt.Sprintf("from page %d on only sizes were checked: looking into the pages before took %s", n, effort.Load)
			}
		default:
			l.wanted = shown == 0 && l.question.Thumbnail > 0 && l.question.From == 1
			if failed, err = l.load(&p, &text, effort.Text, sample); err != nil {
				return err
			}
			if failed == nil && p.Chars < 0 {
				unread++
			}
		}
		if failed != nil {
			l.say(answer{Code: codePage, Failed: failed})
			continue
		}
		if shown == 0 {
			shown = n
		}
		l.say(answer{Code: codePage, Page: &p})
	}
	l.at = 0
	if s.Partial == "" && unread > 0 {
		s.Partial = fmt.Sprintf("the characters of %d pages were not counted: those of the others took %s", unread, effort.Text)
	}
	s.Fonts, s.Language = sample.fonts, sample.language()
	l.say(answer{Code: codeDone, Summary: &s})
	if shown > 0 && l.question.Thumbnail > 0 && l.question.From == 1 {
		return l.thumbnail(shown)
	}
	return nil
}

func broken(page int, class failure.Class, format string, args ...any) *facts.FailedPage {
	return &facts.FailedPage{Page: page, Class: class, Message: "it " + fmt.Sprintf(format, args...)}
}

// size holds the size of a page against its bounds, without loading it.
func (l *look) size(p *facts.Page) (*facts.FailedPage, error) {
	b := l.question.Bounds
	size, err := l.instance.FPDF_GetPageSizeByIndex(&requests.FPDF_GetPageSizeByIndex{Document: l.document, Index: p.Page - 1})
	if err != nil { // PDFium knows no page here, or is no more: the next call tells
		_, err = l.instance.FPDF_LoadPage(&requests.FPDF_LoadPage{Document: l.document, Index: p.Page - 1})
		if err != nil && !errors.Is(err, pdfium_errors.ErrPage) {
			return nil, fmt.Errorf("size of page %d: %w", p.Page, err)
		}
		return broken(p.Page, failure.PDFCorrupt, "can't be loaded: the document claims it, but does not have it"), nil
	}
	if size.Width <= 0 || size.Height <= 0 {
		return broken(p.Page, failure.PDFCorrupt, "has no size"), nil
	}
	p.Width, p.Height = math.Round(size.Width*100)/100, math.Round(size.Height*100)/100
	pixels := p.Width / 72 * b.DPI * p.Height / 72 * b.DPI
	switch {
	case p.Width > b.Points || p.Height > b.Points:
		return broken(p.Page, failure.LimitPageSize, "is %.0f × %.0f points, the limit is %.0f", p.Width, p.Height, b.Points), nil
	case pixels > float64(b.Pixels):
		return broken(p.Page, failure.LimitPixels, "is %.0f × %.0f points, which are %.0f pixels at %.0f dpi, the limit is %d", p.Width, p.Height, pixels, b.DPI, b.Pixels), nil
	}
	return nil, nil
}

// load looks into a page. The error is the sandbox's end.
func (l *look) load(p *facts.Page, spent *time.Duration, allowed time.Duration, sample *sample) (*facts.FailedPage, error) {
	loaded, err := l.instance.FPDF_LoadPage(&requests.FPDF_LoadPage{Document: l.document, Index: p.Page - 1})
	if err != nil {
		if !errors.Is(err, pdfium_errors.ErrPage) {
			return nil, fmt.Errorf("load page %d: %w", p.Page, err)
		}
		if failed := l.bomb(); failed != nil {
			return failed, nil
		}
		return broken(p.Page, failure.PDFCorrupt, "can't be loaded"), nil
	}
	page := requests.Page{ByReference: &loaded.Page}
	failed, err := l.weigh(p, page, loaded.Page, spent, allowed, sample)
	if err != nil {
		return nil, err
	}
	if failed == nil && l.wanted && pictured(p) {
		l.front = loaded.Page
		return nil, nil
	}
	if _, err := l.instance.FPDF_ClosePage(&requests.FPDF_ClosePage{Page: loaded.Page}); err != nil {
		return nil, fmt.Errorf("close page %d: %w", p.Page, err)
	}
	return failed, nil
}

func (l *look) weigh(p *facts.Page, page requests.Page, ref references.FPDF_PAGE, spent *time.Duration, allowed time.Duration, sample *sample) (*facts.FailedPage, error) {
	b := l.question.Bounds
	p.Content = l.meter.content
	if failed := l.bomb(); failed != nil {
		return failed, nil
	}
	count, err := l.instance.FPDFPage_CountObjects(&requests.FPDFPage_CountObjects{Page: page})
	if err != nil {
		return nil, fmt.Errorf("count objects of page %d: %w", p.Page, err)
	}
	if p.Objects = max(count.Count, 0); p.Objects > b.Objects {
		return broken(p.Page, failure.LimitObjects, "has %d objects, the limit is %d", p.Objects, b.Objects), nil
	}
	if turned, err := l.instance.FPDFPage_GetRotation(&requests.FPDFPage_GetRotation{Page: page}); err == nil {
		p.Rotation = int(turned.PageRotation) * 90
	}
	c := &census{look: l, page: p, sample: sample}
	if err := c.take(page); err != nil {
		return nil, err
	}
	switch {
	case c.depth > b.Nesting:
		return broken(p.Page, failure.LimitNesting, "has forms nested deeper than %d levels, which is the limit", b.Nesting), nil
	case c.largest > b.ImagePixels:
		return broken(p.Page, failure.LimitPixels, "has an image of %d pixels, the limit is %d", c.largest, b.ImagePixels), nil
	}
	if most, known := l.meter.most(); !l.question.Readable && !l.question.Grids && known && most <= int64(b.Chars) && p.Content < suspicious && !(l.meter.shown == 0 && c.text) && sample.full() {
		p.Chars = int(l.meter.shown)
		return nil, nil
	}
	if *spent > allowed && p.Content < suspicious && !l.question.Readable {
		return nil, nil
	}
	began := time.Now()
	if p.Chars, err = l.chars(p, page, sample); err != nil {
		return nil, fmt.Errorf("text of page %d: %w", p.Page, err)
	}
	*spent += time.Since(began)
	if p.Chars > b.Chars {
		return broken(p.Page, failure.LimitChars, "has %d characters, the limit is %d", p.Chars, b.Chars), nil
	}
	return nil, nil
}

// bomb says what the meter held back of the page in hand; nil when it was nothing.
func (l *look) bomb() *facts.FailedPage {
	switch b := l.question.Bounds; {
	case l.meter.over:
		return broken(l.at, failure.LimitContent, "has content of more than %d bytes when inflated, which is the limit", b.Content)
	case l.meter.crowded():
		return broken(l.at, failure.LimitChars, "shows about %d characters, the limit is %d", l.meter.shown, b.Chars)
	}
	return nil
}

// chars counts the characters of a page, and takes a sample of the first pages. Any error is the sandbox's end: PDFium refuses nothing that is asked here.
func (l *look) chars(p *facts.Page, page requests.Page, sample *sample) (int, error) {
	text, err := l.instance.FPDFText_LoadPage(&requests.FPDFText_LoadPage{Page: page})
	if err != nil {
		return 0, err
	}
	count, err := l.instance.FPDFText_CountChars(&requests.FPDFText_CountChars{TextPage: text.TextPage})
	if err != nil {
		return 0, err
	}
	chars := max(count.Count, 0)
	if chars > 0 && !sample.full() {
		sample.pages++
		if err := l.sampleText(text.TextPage, chars, sample); err != nil {
			return 0, err
		}
	}
	if l.question.Readable && chars > 0 {
		if p.Readable, err = l.readable(text.TextPage, chars); err != nil {
			return 0, err
		}
	}
	if l.question.Grids && chars > 0 && p.Rotation == 0 {
		if p.GridBegin, p.GridEnd, err = l.grids(text.TextPage, chars); err != nil {
			return 0, err
		}
	}
	if _, err := l.instance.FPDFText_ClosePage(&requests.FPDFText_ClosePage{TextPage: text.TextPage}); err != nil {
		return 0, err
	}
	return chars, nil
}

// census visits the objects of a page, and those of the forms in it.
type census struct {
	look    *look
	page    *facts.Page
	sample  *sample
	visited int
	depth   int
	text    bool  // there is some, or there may be
	largest int64 // image, in pixels
}

func (c *census) take(page requests.Page) error {
	for i := range c.page.Objects {
		if c.visited >= maxVisited {
			c.text = true
			break
		}
		object, err := c.look.instance.FPDFPage_GetObject(&requests.FPDFPage_GetObject{Page: page, Index: i})
		if err != nil {
			return fmt.Errorf("object %d of page %d: %w", i, c.page.Page, err)
		}
		if err := c.visit(object.PageObject, 0); err != nil {
			return fmt.Errorf("object %d of page %d: %w", i, c.page.Page, err)
		}
	}
	return nil
}

func (c *census) visit(object references.FPDF_PAGEOBJECT, depth int) error {
	pdf := c.look.instance
	c.visited++
	c.look.refs++
	c.depth = max(c.depth, depth)
	kind, err := pdf.FPDFPageObj_GetType(&requests.FPDFPageObj_GetType{PageObject: object})
	if err != nil {
		return err
	}
	switch kind.Type {
	case enums.FPDF_PAGEOBJ_IMAGE:
		c.page.Images++
		if size, err := pdf.FPDFImageObj_GetImagePixelSize(&requests.FPDFImageObj_GetImagePixelSize{ImageObject: object}); err == nil {
			pixels := int64(size.Width) * int64(size.Height)
			if c.look.question.Readable {
				c.page.Covered = max(c.page.Covered, c.look.covers(object, c.page))
			}
			c.page.Pixels, c.largest = c.page.Pixels+pixels, max(c.largest, pixels)
		}
	case enums.FPDF_PAGEOBJ_TEXT:
		c.text = true
		c.sample.font(c.look, object)
	case enums.FPDF_PAGEOBJ_FORM:
		inner, err := pdf.FPDFFormObj_CountObjects(&requests.FPDFFormObj_CountObjects{PageObject: object})
		if err != nil {
			return nil //nolint:nilerr // PDFium can't tell: an empty form
		}
		for i := range inner.Count {
			if c.visited >= maxVisited || depth > c.look.question.Bounds.Nesting {
				c.text = true
				break
			}
			next, err := pdf.FPDFFormObj_GetObject(&requests.FPDFFormObj_GetObject{PageObject: object, Index: uint64(i)})
			if err != nil {
				return err
			}
			if err := c.visit(next.PageObject, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
