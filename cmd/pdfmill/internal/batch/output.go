package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// maxImage bounds one image, in bytes, when it is fetched.
const maxImage = 256 << 20

// output writes what the pipeline made into a directory, as its layout says; the links in a document point to its images.
type output struct {
	store  object.Store
	dir    string // absolute
	shown  string // dir as people know it
	layout Layout
}

// prepared is a document that is about to be written, its images being there.
type prepared struct {
	shown string // its path as people know it
	path  string // absolute
	text  []byte
}

// prepare fetches a document and writes its images, so that a document that is there has them.
func (o output) prepare(ctx context.Context, stem string, c *event.Converted) (prepared, error) {
	text, err := o.document(ctx, c)
	if err != nil {
		return prepared{}, err
	}
	ext := path.Ext(c.Markdown.Key)
	if o.layout == LayoutMarker || c.Options.EngineOptions["debug"] != "" {
		if err := o.describe(ctx, stem, ext, text, c); err != nil {
			return prepared{}, err
		}
	}
	if len(c.Images) > 0 {
		if err := o.files(ctx, filepath.Join(o.dir, o.layout.images(stem)), c.Markdown.Bucket, c.Images, o.layout.image); err != nil {
			return prepared{}, err
		}
		text = o.layout.relink(text, stem, c.Images)
	}
	name := o.layout.file(stem, ext)
	return prepared{filepath.Join(o.shown, name), filepath.Join(o.dir, name), o.layout.text(text, ext)}, nil
}

// maxManifest bounds a manifest, in bytes: it has some hundred a page.
const maxManifest = 256 << 20

// describe writes what only the manifest tells of: debug output, and in marker's layout what its command says about a document.
func (o output) describe(ctx context.Context, stem, ext string, text []byte, c *event.Converted) error {
	var manifest struct {
		Pages []madePage    `json:"page_list"`
		Meta  string        `json:"meta"`
		Debug []event.Image `json:"debug"`
	}
	if _, err := object.GetJSON(ctx, o.store, c.Manifest.Bucket, c.Manifest.Key, maxManifest, &manifest); err != nil {
		return fmt.Errorf("fetch the manifest: %w", err)
	}
	if len(manifest.Debug) > 0 {
		asIs := func(name string) string { return name }
		if err := o.files(ctx, filepath.Join(o.dir, o.layout.debug(stem)), c.Manifest.Bucket, manifest.Debug, asIs); err != nil {
			return err
		}
	}
	if o.layout != LayoutMarker {
		return nil
	}
	var data []byte
	var err error
	if manifest.Meta != "" {
		data, _, err = object.GetBytes(ctx, o.store, c.Manifest.Bucket, manifest.Meta, maxManifest)
	} else {
		data, err = metadata(text, ext, manifest.Pages)
	}
	if err != nil {
		return fmt.Errorf("describe the document: %w", err)
	}
	folder := filepath.Join(o.dir, stem)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return fmt.Errorf("make the document's folder: %w", err)
	}
	return writeFile(filepath.Join(folder, stem+"_meta.json"), data)
}

// document takes the text from the event, or fetches it; either way its hash is checked.
func (o output) document(ctx context.Context, c *event.Converted) ([]byte, error) {
	if inline := c.Markdown.Inline; inline != "" && digest([]byte(inline)) == c.Markdown.SHA256 {
		return []byte(inline), nil
	}
	var text bytes.Buffer
	if _, err := object.Download(ctx, o.store, c.Markdown.Bucket, c.Markdown.Key, c.Markdown.SHA256, &text); err != nil {
		return nil, fmt.Errorf("fetch the document: %w", err)
	}
	return text.Bytes(), nil
}

// files fetches files into a folder, by the names that they are to have there.
func (o output) files(ctx context.Context, dir, bucket string, list []event.Image, named func(ours string) string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("make the folder for images: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, image := range list {
		group.Go(func() error {
			name := path.Base(image.Key)
			if !filepath.IsLocal(name) || name == "." {
				return fmt.Errorf("image %q has no usable name", image.Key)
			}
			data, _, err := object.GetBytes(ctx, o.store, bucket, image.Key, maxImage)
			if err != nil {
				return fmt.Errorf("fetch image %s: %w", name, err)
			}
			return writeFile(filepath.Join(dir, named(name)), data)
		})
	}
	return group.Wait()
}

// escaped is a name as links say it.
func escaped(name string) string { return url.PathEscape(name) }

// has reports whether the output of a document that an earlier run converted is still there.
func (o output) has(d Document) bool {
	if d.Outcome != OutcomeConverted || d.Markdown == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(o.dir, o.place(d)))
	return err == nil
}

// place is where the output of a document of an earlier run lies below the directory, if it was written in this layout.
func (o output) place(d Document) string {
	ext := filepath.Ext(d.Markdown)
	return o.layout.file(strings.TrimSuffix(filepath.Base(d.Markdown), ext), ext)
}

// PrepareDir makes dir if it is missing and makes sure that files can be written there.
func PrepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("output directory %s: %w (choose another with -o)", dir, Cause(err))
	}
	probe, err := os.CreateTemp(dir, ".pdfmill-*")
	if err != nil {
		return fmt.Errorf("output directory %s is not writable: %w (choose another with -o)", dir, Cause(err))
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}
