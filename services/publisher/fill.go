package publisher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// copiesAtOnce is how many images are copied at the same time; none of them is held in memory.
const copiesAtOnce = 4

// fill writes what a claimed revision still lacks: its images, then its document. Doing so twice, or two at once, writes the same bytes.
func (p *press) fill(ctx context.Context, m Manifest, doc *product) (printed, error) {
	there := p.have.revisions[m.Revision]
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(copiesAtOnce)
	for _, image := range slices.Concat(doc.pictures, doc.debug) {
		if size, ok := there[image.name]; ok && size == image.bytes {
			continue
		}
		group.Go(func() error { return p.copy(each, m.Revision, image) })
	}
	if err := group.Wait(); err != nil {
		return printed{}, err
	}
	if m.Meta != "" {
		data, err := doc.meta.JSON()
		if err != nil {
			return printed{}, fmt.Errorf("describe document: %w", err)
		}
		if _, err := object.PutBytes(ctx, p.store, p.bucket, m.Meta, data, object.Put{ContentType: "application/json"}); err != nil {
			return printed{}, err
		}
	}
	_, mediaType := doc.form.file()
	how := object.Put{ContentType: mediaType}
	if _, err := p.store.Put(ctx, p.bucket, m.Markdown.Key, doc.text.Reader(), doc.text.Size(), how); err != nil {
		return printed{}, err
	}
	out := printed{revision: m.Revision, manifest: m, pages: m.PageList}
	if doc.text.Size() <= event.MaxInline {
		text, err := io.ReadAll(doc.text.Reader())
		if err != nil {
			return printed{}, fmt.Errorf("read joined document: %w", err)
		}
		out.inline = string(text)
	}
	return out, nil
}

func (p *press) copy(ctx context.Context, revision int, i picture) error {
	body, info, err := p.store.Get(ctx, p.bucket, i.from)
	if err != nil {
		return fmt.Errorf("copy image of page %d: %w", i.page, err)
	}
	defer body.Close()
	if info.Size != i.bytes {
		return fmt.Errorf("copy image of page %d: %s has %d bytes, want %d", i.page, i.from, info.Size, i.bytes)
	}
	_, err = p.store.Put(ctx, p.bucket, p.key(revision, i.name), body, i.bytes, object.Put{ContentType: i.mediaType})
	return err
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
