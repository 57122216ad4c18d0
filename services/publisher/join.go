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
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/layout"
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
	place    place
	meta     layout.Meta
	told     bool // by marker: there is something in meta that nobody else knows
	text     *object.Spool
	sha256   string
	pages    []Page
	pictures []picture
	debug    []picture
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
	l, err := survey(ctx, store, bucket, s, m.Engine)
	if err != nil {
		return nil, err
	}
	p := &product{selection: s, place: placeOf(s.layout, m.Source.Key), text: object.NewSpool(""), engine: event.Engine{Name: m.Engine}}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	p.form = formOf(m.Options.Output, l, !p.place.marker())
	hash := sha256.New()
	buffer := bufio.NewWriterSize(io.MultiWriter(p.text, hash), 64<<10)
	p.form.begin(buffer)
	counted := map[string]bool{} // objects whose engine time is in the sum
	for _, run := range s.runs {
		if run.Kind == kindLost {
			for n := run.Pages.First; n <= run.Pages.Last; n++ {
				lost := s.lost[n]
				if err := p.page(buffer, Page{Page: n, Status: event.PageFailed, Class: lost.Class, Message: lost.Message}, "", nil); err != nil {
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

// survey looks through the ranges of a document for what must be known of all of it before the first page is written: the sizes of its headings, where its
// engine tells them.
func survey(ctx context.Context, store object.Store, bucket string, s selection, engine string) (levels, error) {
	if engine != job.EngineMarker && engine != job.EngineAuto {
		return levels{}, nil
	}
	var sizes []float64
	for _, run := range s.runs {
		if run.Kind == kindLost {
			continue
		}
		result, err := readResult(ctx, store, bucket, run)
		if err != nil {
			return levels{}, err
		}
		for _, page := range result.Pages {
			if page.About != nil && page.Page >= run.Pages.First && page.Page <= run.Pages.Last {
				for _, h := range page.About.Headings {
					sizes = append(sizes, h.Size)
				}
			}
		}
	}
	return levelsOf(sizes), nil
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
	names, err := p.files(run, r, at)
	if err != nil {
		return err
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
		about := event.About{}
		if from.About != nil {
			about, p.told = *from.About, true
		}
		text := from.Markdown
		if names != nil {
			text = names.Replace(text)
		}
		p.meta.Add(n, about.Contents, about.Stats, page.Engine, from.Markdown)
		if err := p.page(w, page, text, about.Headings); err != nil {
			return err
		}
	}
	return nil
}

// files notes the images and the debug output of a run. What it returns puts the names that images have in marker's layout into texts; nil changes nothing.
func (p *product) files(run Run, r event.RangeResult, at map[int]int) (*strings.Replacer, error) {
	var pairs []string
	for _, kind := range []struct {
		folder string
		list   []event.Image
		name   func(own string) string
		into   *[]picture
	}{{imagesFolder, r.Images, p.place.image, &p.pictures}, {debugFolder, r.Debug, p.place.debug, &p.debug}} {
		for _, file := range kind.list {
			i, ok := at[file.Page]
			if !ok || file.Page < run.Pages.First || file.Page > run.Pages.Last || r.Pages[i].Status == event.PageFailed {
				continue
			}
			name, ok := strings.CutPrefix(file.Key, kind.folder)
			if !ok || name == "" || name != path.Base(name) || name == ".." {
				return nil, fmt.Errorf("join page %d: %s names a file %q, want %sNAME", file.Page, run.Key, file.Key, kind.folder)
			}
			to := kind.name(file.Key)
			*kind.into = append(*kind.into, picture{
				from: path.Dir(run.Key) + "/" + file.Key, name: to, mediaType: file.MediaType, bytes: file.Bytes, page: file.Page,
			})
			pairs = append(pairs, "]("+file.Key+")", "]("+path.Base(to)+")", `src="`+file.Key+`"`, `src="`+path.Base(to)+`"`)
		}
	}
	if !p.place.marker() || len(pairs) == 0 {
		return nil, nil
	}
	return strings.NewReplacer(pairs...), nil
}

// described reports whether the product has a file of what marker says about it: where marker said something, and wherever its layout is wanted.
func (p *product) described() bool { return p.told || p.place.marker() }

// page writes one page, or the mark of its absence. A write error stays in w until it is flushed.
func (p *product) page(w *bufio.Writer, page Page, text string, headings []event.Heading) error {
	p.pages = append(p.pages, page)
	return p.form.page(w, page, text, headings)
}
