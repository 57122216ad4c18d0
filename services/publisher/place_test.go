package publisher

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// marked is a job of two pages in two ranges, as marker makes them, with an image and debug output of each.
func marked(t *testing.T, n int) job.Job {
	t.Helper()
	j := newJob(t, n)
	j.Source.Key = "in/A report.PDF"
	for p := 1; p <= 2; p++ {
		r := resultOf(span(p, p), "")
		r.Engine = job.EngineMarker
		name := []string{"images/page-0001-Figure-3.jpg", "images/page-0002-Picture-1.jpg"}[p-1]
		r.Pages[0].Markdown = "# Title\n\n![](" + name + ")\n"
		stats, _ := json.Marshal(map[string]any{"page_id": p - 1, "text_extraction_method": "pdftext"})
		contents, _ := json.Marshal([]map[string]any{{"title": "Title", "page_id": p - 1}})
		r.Pages[0].About = &event.About{Stats: stats, Contents: contents}
		r.Images = []event.Image{{Key: name, Bytes: 10, MediaType: "image/jpeg", Page: p}}
		r.Debug = []event.Image{{Key: []string{"debug/layout_page_0.png", "debug/layout_page_1.png"}[p-1], Bytes: 20, MediaType: "image/png", Page: p}}
		put(t, j.RangePrefix(r.Range), r)
	}
	return j
}

// below are the names of the objects of a revision.
func below(t *testing.T, j job.Job, revision int) []string {
	t.Helper()
	var names []string
	for info, err := range s3.List(t.Context(), bucket, j.RevisionPrefix(revision)) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.TrimPrefix(info.Key, j.RevisionPrefix(revision)))
	}
	slices.Sort(names)
	return names
}

func manifestOf(t *testing.T, e event.Converted) (m Manifest) {
	t.Helper()
	if _, err := object.GetJSON(t.Context(), s3, bucket, e.Manifest.Key, maxManifest, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestARevisionInMarkersLayout(t *testing.T) {
	j := marked(t, 1)
	own := convertedOf(t, newBench(t, usual).handleOne(t, rendered(j, span(1, 2), 2)))
	want := []string{"debug/layout_page_0.png", "debug/layout_page_1.png", "document.md", "images/page-0001-Figure-3.jpg", "images/page-0002-Picture-1.jpg", "manifest.json", "meta.json"}
	if got := below(t, j, own.Revision); !slices.Equal(got, want) {
		t.Errorf("pdfmill's layout: %q", got)
	}
	if m := manifestOf(t, own); m.Meta != j.RevisionPrefix(1)+"meta.json" || len(m.Debug) != 2 || m.Debug[1].Page != 2 || len(m.Images) != 2 {
		t.Errorf("manifest %+v", m)
	}

	c := usual
	c.Layout = LayoutMarker
	j = marked(t, 2)
	b, message := newBench(t, c), rendered(j, span(1, 2), 2)
	e := convertedOf(t, b.handleOne(t, message))
	want = []string{
		"A report/A report.md", "A report/A report_meta.json", "A report/_page_0_Figure_3.jpeg", "A report/_page_1_Picture_1.jpeg",
		"A report/layout_page_0.png", "A report/layout_page_1.png", "manifest.json",
	}
	if got := below(t, j, e.Revision); !slices.Equal(got, want) {
		t.Errorf("marker's layout: %q", got)
	}
	if text := read(t, e.Markdown.Key); text != "# Title\n\n![](_page_0_Figure_3.jpeg)\n\n# Title\n\n![](_page_1_Picture_1.jpeg)\n" || e.Markdown.Inline != text {
		t.Errorf("document %q", text)
	}
	if path.Base(e.Images[1].Key) != "_page_1_Picture_1.jpeg" {
		t.Errorf("images %+v", e.Images)
	}
	var meta struct {
		Contents []struct{ Title string } `json:"table_of_contents"`
		Pages    []struct {
			Method string `json:"text_extraction_method"`
		} `json:"page_stats"`
	}
	if err := json.Unmarshal([]byte(read(t, manifestOf(t, e).Meta)), &meta); err != nil || len(meta.Contents) != 2 || meta.Pages[1].Method != "pdftext" {
		t.Errorf("meta %+v, %v", meta, err)
	}

	// Whoever claimed the revision and died has it finished in the layout that it was begun in, also when another is configured now.
	for _, name := range []string{"A report/A report.md", "A report/A report_meta.json", "A report/layout_page_1.png"} {
		if err := s3.Delete(t.Context(), bucket, j.RevisionPrefix(1)+name); err != nil {
			t.Fatal(err)
		}
	}
	if again := convertedOf(t, newBench(t, usual).handleOne(t, message)); again.Markdown.Key != e.Markdown.Key || again.Revision != 1 {
		t.Errorf("again: %+v", again.Markdown)
	}
	if got := below(t, j, 1); !slices.Equal(got, want) {
		t.Errorf("finished: %q", got)
	}
}

// A page that names a file outside its folders is refused, debug output as well.
func TestDebugOutputHasUsableNames(t *testing.T) {
	r := resultOf(span(1, 1), "")
	r.Debug = []event.Image{{Key: "debug/../../x", Page: 1}}
	if _, err := (&product{}).files(Run{Pages: span(1, 1)}, r, map[int]int{1: 0}); err == nil {
		t.Error("accepted")
	}
}
