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

// output writes what the pipeline made into a directory:
//
//	DIR/<stem>.md            the Markdown
//	DIR/<stem>_images/…      its images; the links in the Markdown point there
type output struct {
	store object.Store
	dir   string // absolute
	shown string // dir as people know it
}

// write fetches and writes a document, images first, so that Markdown that is there has its images. It returns the Markdown's path as people know it.
func (o output) write(ctx context.Context, stem string, c *event.Converted) (string, error) {
	text, err := o.markdown(ctx, c)
	if err != nil {
		return "", err
	}
	if len(c.Images) > 0 {
		if err := o.images(ctx, filepath.Join(o.dir, stem+imagesSuffix), c); err != nil {
			return "", err
		}
		text = relink(text, stem+imagesSuffix, c.Images)
	}
	name := stem + markdownSuffix
	return filepath.Join(o.shown, name), writeFile(filepath.Join(o.dir, name), text)
}

// markdown takes the text from the event, or fetches it; either way its hash is checked.
func (o output) markdown(ctx context.Context, c *event.Converted) ([]byte, error) {
	if inline := c.Markdown.Inline; inline != "" && digest([]byte(inline)) == c.Markdown.SHA256 {
		return []byte(inline), nil
	}
	var text bytes.Buffer
	if _, err := object.Download(ctx, o.store, c.Markdown.Bucket, c.Markdown.Key, c.Markdown.SHA256, &text); err != nil {
		return nil, fmt.Errorf("fetch the Markdown: %w", err)
	}
	return text.Bytes(), nil
}

func (o output) images(ctx context.Context, dir string, c *event.Converted) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("make the folder for images: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, image := range c.Images {
		group.Go(func() error {
			name := path.Base(image.Key)
			if !filepath.IsLocal(name) || name == "." {
				return fmt.Errorf("image %q has no usable name", image.Key)
			}
			data, _, err := object.GetBytes(ctx, o.store, c.Markdown.Bucket, image.Key, maxImage)
			if err != nil {
				return fmt.Errorf("fetch image %s: %w", name, err)
			}
			return writeFile(filepath.Join(dir, name), data)
		})
	}
	return group.Wait()
}

// relink points the Markdown's links to its images at the folder where they now lie.
func relink(text []byte, folder string, images []event.Image) []byte {
	escaped := url.PathEscape(folder)
	pairs := make([]string, 0, 4*len(images))
	for _, image := range images {
		name := path.Base(image.Key)
		pairs = append(pairs, "](images/"+name+")", "]("+escaped+"/"+name+")", `src="images/`+name+`"`, `src="`+escaped+"/"+name+`"`)
	}
	return []byte(strings.NewReplacer(pairs...).Replace(string(text)))
}

// written reports whether the output of a document that an earlier run converted is still there.
func (o output) written(d Document) bool {
	if d.Outcome != OutcomeConverted || d.Markdown == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(o.dir, filepath.Base(d.Markdown)))
	return err == nil
}

// PrepareDir makes dir if it is missing and makes sure that files can be written there.
func PrepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("output directory %s: %w (choose another with -o)", dir, cause(err))
	}
	probe, err := os.CreateTemp(dir, ".pdfmill-*")
	if err != nil {
		return fmt.Errorf("output directory %s is not writable: %w (choose another with -o)", dir, cause(err))
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}
