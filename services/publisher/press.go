package publisher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/crashpoint"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

const (
	// maxManifest bounds what is read back, in bytes; it is some hundred bytes a page.
	maxManifest = 256 << 20
	// maxRaces bounds the revisions that others may make of one job while this one looks for a number.
	maxRaces = 100
)

// press turns a selection into a stored revision.
type press struct {
	store   object.Store
	bucket  string
	version string // of pdfmill
	message event.Rendered
	have    holdings
	lost    map[int]lostPage
	started time.Time

	joined *product // of the last join, kept for as long as it may be stored
}

// printed is what became of a selection: a revision, or with revision 0 only the pages, because no product is to be made of them.
type printed struct {
	revision int
	manifest Manifest
	pages    []Page
	inline   string // the whole document when it is small
}

func (p *press) close() {
	if p.joined != nil {
		p.joined.close()
	}
}

// print stores the document of s as a revision: as the one that has these inputs or belongs to this pass already, or as a new one. A manifest that is
// put once claims the number, so that of several who try at the same time one makes it and the others find it. Without
// partly, nothing is stored of an incomplete document.
func (p *press) print(ctx context.Context, s selection, partly bool) (printed, error) {
	numbers := p.manifests()
	next := 1
	if len(numbers) > 0 {
		next = numbers[0] + 1
	}
	for _, n := range numbers {
		m, err := p.read(ctx, n)
		if err != nil {
			return printed{}, err
		}
		if p.ours(m, s) {
			return p.adopt(ctx, m)
		}
	}
	doc, err := p.join(ctx, s)
	if err != nil {
		return printed{}, err
	}
	if n := doc.converted(); n == 0 || (n < len(doc.pages) && !partly) {
		return printed{pages: doc.pages}, nil
	}
	about, err := p.inspected(ctx)
	if err != nil {
		return printed{}, err
	}
	for n := next; n < next+maxRaces; n++ {
		m := p.manifest(doc, n)
		m.Facts, m.Thumbnail = about.facts, about.thumbnail
		m.name(about.facts)
		_, err := object.PutJSON(ctx, p.store, p.bucket, p.key(n, manifestName), m, object.Put{Once: true})
		switch {
		case err == nil:
			crashpoint.Reach(stage.Publisher, crashpoint.MidStore)
			return p.fill(ctx, m, doc)
		case !errors.Is(err, object.ErrExists):
			return printed{}, err
		}
		if m, err = p.read(ctx, n); err != nil {
			return printed{}, err
		}
		if p.ours(m, s) {
			return p.adopt(ctx, m)
		}
	}
	return printed{}, fmt.Errorf("publish job %s: revisions %d to %d were taken by others meanwhile", p.message.Job.ID, next, next+maxRaces-1)
}

// manifests lists the numbers of the revisions that exist, latest first.
func (p *press) manifests() []int {
	numbers := slices.DeleteFunc(slices.Collect(maps.Keys(p.have.revisions)), func(n int) bool {
		_, claimed := p.have.revisions[n][manifestName]
		return !claimed
	})
	slices.Sort(numbers)
	slices.Reverse(numbers)
	return numbers
}

func (p *press) key(revision int, name string) string {
	return p.message.RevisionPrefix(revision) + name
}

func (p *press) read(ctx context.Context, revision int) (Manifest, error) {
	var m Manifest
	_, err := object.GetJSON(ctx, p.store, p.bucket, p.key(revision, manifestName), maxManifest, &m)
	return m, err
}

// ours reports whether a revision is what this message has to announce. A pass that made one before stays with it, even when more results have
// come in since: its end is told once.
func (p *press) ours(m Manifest, s selection) bool {
	if m.Inputs == s.digest {
		return true
	}
	if m.Join != joinVersion || m.Drop != p.message.Drop || m.Pass != p.message.Pass {
		return false
	}
	return !slices.ContainsFunc(m.Runs, func(r Run) bool { return r.Kind != kindLost && !p.have.holds(r.Key, r.ETag) })
}

// adopt returns a revision that exists, finished if whoever claimed it has not (or not yet) written all of it.
func (p *press) adopt(ctx context.Context, m Manifest) (printed, error) {
	if p.whole(m) {
		text := ""
		if m.Markdown.Bytes <= event.MaxInline {
			data, _, err := object.GetBytes(ctx, p.store, p.bucket, m.Markdown.Key, event.MaxInline)
			if err != nil {
				return printed{}, err
			}
			text = string(data)
		}
		if m.Markdown.Bytes > event.MaxInline || hash(text) == m.Markdown.SHA256 {
			return printed{revision: m.Revision, manifest: m, pages: m.PageList, inline: text}, nil
		}
	}
	doc, err := p.join(ctx, m.selection())
	if err != nil {
		return printed{}, err
	}
	if doc.sha256 != m.Markdown.SHA256 {
		return printed{}, fmt.Errorf("publish job %s: revision %d, made again of the same inputs, differs (its objects were changed by somebody else)", m.Job, m.Revision)
	}
	return p.fill(ctx, m, doc)
}

// whole reports whether everything that a manifest describes was there when the job was listed.
func (p *press) whole(m Manifest) bool {
	there := p.have.revisions[m.Revision]
	has := func(key string) (int64, bool) {
		size, ok := there[strings.TrimPrefix(key, p.key(m.Revision, ""))]
		return size, ok
	}
	if size, ok := has(m.Markdown.Key); !ok || size != m.Markdown.Bytes {
		return false
	}
	if _, ok := has(m.Meta); m.Meta != "" && !ok {
		return false
	}
	return !slices.ContainsFunc(slices.Concat(m.Images, m.Debug), func(i event.Image) bool {
		size, ok := has(i.Key)
		return !ok || size != i.Bytes
	})
}

// join makes the document of s, or returns it when it was made already.
func (p *press) join(ctx context.Context, s selection) (*product, error) {
	if p.joined != nil && p.joined.digest == s.digest {
		return p.joined, nil
	}
	p.close()
	p.joined = nil
	doc, err := join(ctx, p.store, p.bucket, s, p.message)
	if err != nil {
		return nil, err
	}
	p.joined = doc
	return doc, nil
}

// manifest describes a product as a revision.
func (p *press) manifest(doc *product, revision int) Manifest {
	m := p.message
	own, mediaType := doc.form.file()
	name := doc.place.document(own)
	out := Manifest{
		Layout: doc.layout,
		Format: 1, Job: m.Job.ID, Drop: m.Drop, Pass: m.Pass, Revision: revision, Inputs: doc.digest, Join: joinVersion, Runs: doc.runs,
		Source: m.Source, Tenant: m.Tenant, Options: m.Options, Pages: m.Total, Want: m.Want, ConvertedPages: doc.converted(),
		Complete: doc.converted() == len(doc.pages),
		Markdown: event.Markdown{Bucket: p.bucket, Key: p.key(revision, name), MediaType: mediaType, Bytes: doc.text.Size(), SHA256: doc.sha256},
		Images:   make([]event.Image, 0, len(doc.pictures)), Engine: doc.engine, Attempts: attempts(m, p.lost), PageList: doc.pages,
		CreatedAt: time.Now().UTC(), Version: p.version,
	}
	for _, i := range doc.pictures {
		out.Images = append(out.Images, event.Image{Key: p.key(revision, i.name), Bytes: i.bytes, MediaType: i.mediaType, Page: i.page})
	}
	for _, i := range doc.debug {
		out.Debug = append(out.Debug, event.Image{Key: p.key(revision, i.name), Bytes: i.bytes, MediaType: i.mediaType, Page: i.page})
	}
	if doc.described() {
		out.Meta = p.key(revision, doc.place.meta())
	}
	out.Timings = timings(m, doc.seconds, p.started, out.CreatedAt)
	return out
}
