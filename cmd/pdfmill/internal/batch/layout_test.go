package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// shelf is a store of a few objects.
type shelf struct {
	object.Store
	objects map[string]string
}

func (s shelf) Get(_ context.Context, _, key string) (io.ReadCloser, object.Info, error) {
	text, ok := s.objects[key]
	if !ok {
		return nil, object.Info{}, object.ErrNotFound
	}
	return io.NopCloser(bytes.NewBufferString(text)), object.Info{Key: key, Size: int64(len(text))}, nil
}

const twoPages = "<!-- page 1 -->\n\n# A title\n\n![](images/page-0001-Figure-3.jpg)\n\n```\n# no title\n\n<!-- page 3 -->\n\n## Another one ##\n"

// written has a document of two pages and its images written, and returns the files below the folder and what they hold.
func written(t *testing.T, layout Layout, key, text string) (string, map[string]string) {
	t.Helper()
	o := output{dir: t.TempDir(), shown: "out", layout: layout, store: shelf{objects: map[string]string{
		key: text, "r1/images/page-0001-Figure-3.jpg": "jpeg", "r1/images/page-0003-01.png": "png",
		"r1/manifest.json": `{"page_list":[{"page":1,"engine":"marker"},{"page":3,"engine":"text"}]}`,
	}}}
	made, err := o.prepare(t.Context(), "a b.c", &event.Converted{
		Markdown: event.Markdown{Key: key, Bytes: int64(len(text)), SHA256: digest([]byte(text))}, Manifest: event.Object{Key: "r1/manifest.json"},
		Images: []event.Image{{Key: "r1/images/page-0001-Figure-3.jpg", Page: 1}, {Key: "r1/images/page-0003-01.png", Page: 3}},
	})
	if err := errors.Join(err, writeFile(made.path, made.text)); err != nil {
		t.Fatal(err)
	}
	shown := made.shown
	if !o.has(Document{Outcome: OutcomeConverted, Markdown: shown}) {
		t.Errorf("%s is not known again", shown)
	}
	files := map[string]string{}
	err = filepath.WalkDir(o.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(o.dir, path)
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return shown, files
}

func names(files map[string]string) []string {
	var all []string
	for name := range files {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func TestMarkersLayout(t *testing.T) {
	shown, files := written(t, LayoutMarker, "r1/document.md", twoPages)
	want := []string{"a b.c/_page_0_Figure_3.jpeg", "a b.c/_page_2_Picture_1.png", "a b.c/a b.c.md", "a b.c/a b.c_meta.json"}
	if got := names(files); !slices.Equal(got, want) || shown != "out/a b.c/a b.c.md" {
		t.Errorf("%q, %v", shown, got)
	}
	if got := files["a b.c/a b.c.md"]; got != "# A title\n\n![](_page_0_Figure_3.jpeg)\n\n```\n# no title\n\n## Another one ##" {
		t.Errorf("document %q", got)
	}
	var about struct {
		Contents []struct {
			Title  string `json:"title"`
			Level  int    `json:"heading_level"`
			PageID int    `json:"page_id"`
		} `json:"table_of_contents"`
		Pages []struct {
			PageID int    `json:"page_id"`
			Method string `json:"text_extraction_method"`
		} `json:"page_stats"`
	}
	if err := json.Unmarshal([]byte(files["a b.c/a b.c_meta.json"]), &about); err != nil {
		t.Fatal(err)
	}
	if len(about.Contents) != 2 || about.Contents[1].Title != "Another one" || about.Contents[1].Level != 2 || about.Contents[1].PageID != 2 {
		t.Errorf("contents %+v", about.Contents)
	}
	if len(about.Pages) != 2 || about.Pages[1].PageID != 2 || about.Pages[1].Method != "text" {
		t.Errorf("pages %+v", about.Pages)
	}
}

func TestFlatLayout(t *testing.T) {
	shown, files := written(t, LayoutFlat, "r1/document.md", twoPages)
	want := []string{"a b.c.md", "a b.c_images/page-0001-Figure-3.jpg", "a b.c_images/page-0003-01.png"}
	if got := names(files); !slices.Equal(got, want) || shown != "out/a b.c.md" {
		t.Errorf("%q, %v", shown, got)
	}
	if !bytes.Contains([]byte(files["a b.c.md"]), []byte("](a%20b.c_images/page-0001-Figure-3.jpg)")) {
		t.Errorf("document %q", files["a b.c.md"])
	}
}

func TestOtherFormatsHaveTheirOwnEnding(t *testing.T) {
	for key, want := range map[string]string{"r1/document.json": "out/a b.c.json", "r1/document.html": "out/a b.c.html", "r1/chunks.json": "out/a b.c.json"} {
		if shown, files := written(t, LayoutFlat, key, "{}"); shown != want || files[filepath.Base(want)] != "{}" {
			t.Errorf("%s: %q, %v", key, shown, names(files))
		}
	}
}
