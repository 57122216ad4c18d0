package publisher

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// picture is an image to copy to the revision's folder.
type picture struct {
	from      string // key
	name      string // below the revision's folder
	mediaType string
	bytes     int64
	page      int
}

// product is a joined document, waiting in a spool.
type product struct {
	selection
	form     form
	text     *object.Spool
	sha256   string
	pages    []Page
	pictures []picture
	engine   event.Engine
	shares   []engineShare
	seconds  float64 // of engine time
}

func (p *product) close() {
	_ = p.text.Close() // it was only read since it was whole
}

func (p *product) converted() int {
	n := 0
	for _, page := range p.pages {
		if page.Status != event.PageFailed {
			n++
		}
	}
	return n
}

// join writes the document of a selection to a spool, one range in memory at a time.
func join(ctx context.Context, store object.Store, bucket string, s selection, m event.Rendered) (_ *product, err error) {
	p := &product{selection: s, form: formOf(m.Options.Output), text: object.NewSpool(""), engine: event.Engine{Name: m.Engine}}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	hash := sha256.New()
	buffer := bufio.NewWriterSize(io.MultiWriter(p.text, hash), 64<<10)
	p.form.begin(buffer)
	counted := map[string]bool{} // objects whose engine time is in the sum
	for _, run := range s.runs {
		if run.Kind == kindLost {
			for n := run.Pages.First; n <= run.Pages.Last; n++ {
				lost := s.lost[n]
				if err := p.page(buffer, Page{Page: n, Status: event.PageFailed, Class: lost.Class, Message: lost.Message}, ""); err != nil {
					return nil, err
				}
			}
			continue
		}
		result, err := readResult(ctx, store, bucket, run)
		if err != nil {
			return nil, err
		}
		if !counted[run.Key] {
			counted[run.Key] = true
			p.seconds += result.Seconds
		}
		p.credit(result, run.Pages.Len())
		if err := p.run(buffer, run, result); err != nil {
			return nil, err
		}
	}
	p.form.end(buffer)
	if err := buffer.Flush(); err != nil {
		return nil, fmt.Errorf("join document: %w (check the space and rights of the temporary folder)", err)
	}
	p.sha256 = hex.EncodeToString(hash.Sum(nil))
	return p, nil
}

// readResult reads the range that a run is taken from, and only if it still is what was chosen.
func readResult(ctx context.Context, store object.Store, bucket string, run Run) (event.RangeResult, error) {
	var result event.RangeResult
	info, err := object.GetJSON(ctx, store, bucket, run.Key, event.MaxResult, &result)
	if err != nil {
		return result, err
	}
	if info.ETag != run.ETag {
		return result, fmt.Errorf("join pages %s: %s was written again meanwhile", run.Pages, run.Key)
	}
	return result, nil
}

// credit names the engine of the document: the one that most pages went to, with the version of its first range. Which page is whose is in the list of pages.
func (p *product) credit(r event.RangeResult, count int) {
	at := slices.IndexFunc(p.shares, func(s engineShare) bool { return s.engine.Name == r.Engine })
	if at < 0 {
		at, p.shares = len(p.shares), append(p.shares, engineShare{engine: event.Engine{Name: r.Engine, Version: r.Version, Models: r.Models}})
	}
	p.shares[at].pages += count
	p.engine = slices.MaxFunc(p.shares, func(a, b engineShare) int { return a.pages - b.pages }).engine // the first of several
}

// engineShare is how many pages of a document went to an engine.
type engineShare struct {
	engine event.Engine
	pages  int
}

// run writes the pages of one run.
func (p *product) run(w *bufio.Writer, run Run, r event.RangeResult) error {
	at := make(map[int]int, len(r.Pages))
	for i, page := range r.Pages {
		at[page.Page] = i
	}
	for n := run.Pages.First; n <= run.Pages.Last; n++ {
		i, ok := at[n]
		if !ok {
			return fmt.Errorf("join page %d: it is not in %s", n, run.Key)
		}
		from := r.Pages[i]
		page := Page{
			Page: n, Engine: cmp.Or(from.Engine, r.Engine), Fidelity: from.Fidelity, Status: from.Status, Chars: from.Chars, Seconds: from.Seconds,
			Warnings: slices.Clone(from.Warnings), Class: from.Class, Message: from.Message,
		}
		if page.Status == event.PageDegraded && !slices.Contains(page.Warnings, "degraded") {
			page.Warnings = append(page.Warnings, "degraded")
		}
		if err := p.page(w, page, from.Markdown); err != nil {
			return err
		}
	}
	for _, image := range r.Images {
		i, ok := at[image.Page]
		if !ok || image.Page < run.Pages.First || image.Page > run.Pages.Last || r.Pages[i].Status == event.PageFailed {
			continue
		}
		name, ok := strings.CutPrefix(image.Key, imagesFolder)
		if !ok || name == "" || name != path.Base(name) || name == ".." {
			return fmt.Errorf("join page %d: %s names an image %q, want images/NAME", image.Page, run.Key, image.Key)
		}
		p.pictures = append(p.pictures, picture{
			from: path.Dir(run.Key) + "/" + image.Key, name: image.Key, mediaType: image.MediaType, bytes: image.Bytes, page: image.Page,
		})
	}
	return nil
}

// page writes one page, or the mark of its absence. A write error stays in w until it is flushed.
func (p *product) page(w *bufio.Writer, page Page, text string) error {
	p.pages = append(p.pages, page)
	return p.form.page(w, page, text)
}
