package publisher

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
)

// joined publishes a document of three pages, in two ranges, of which the middle page is lost.
func joined(t *testing.T, output, first, last string) (event.Converted, string) {
	t.Helper()
	b, j := newBench(t, usual), newJob(t, 1)
	j.Options.Output = output
	for page, text := range map[int]string{1: first, 3: last} {
		r := resultOf(span(page, page), "")
		r.Pages[0].Markdown = text
		put(t, j.RangePrefix(span(page, page)), r)
	}
	e := convertedOf(t, b.handleOne(t, withFailed(rendered(j, span(2, 2), 3), failure.OOM)))
	if kind, _ := b.store.types.Load(e.Markdown.Key); kind != e.Markdown.MediaType {
		t.Errorf("stored as %v, announced as %s", kind, e.Markdown.MediaType)
	}
	return e, read(t, e.Markdown.Key)
}

func TestJSONIsOneTree(t *testing.T) {
	e, text := joined(t, job.OutputJSON, `{"id":"/page/0/Page/9","children":[{"id":"/page/0/Text/1","html":"<p>{0}</p>"}]}`+"\n", `{"id":"/page/2/Page/4","children":null}`)
	var doc struct {
		Type     string `json:"block_type"`
		Children []struct {
			ID   string `json:"id"`
			HTML string `json:"html"`
		} `json:"children"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if doc.Type != "Document" || len(doc.Children) != 3 || doc.Children[0].ID != "/page/0/Page/9" || doc.Children[2].ID != "/page/2/Page/4" ||
		doc.Children[1].ID != "/page/1/Page/0" || !strings.Contains(doc.Children[1].HTML, "Page 2 is missing") {
		t.Errorf("document %s", text)
	}
	if !strings.HasSuffix(e.Markdown.Key, "/document.json") || e.Markdown.MediaType != "application/json" || e.Markdown.Inline != text {
		t.Errorf("event %+v", e.Markdown)
	}
}

func TestChunksAreOneList(t *testing.T) {
	e, text := joined(t, job.OutputChunks,
		`{"blocks":[{"id":"/page/0/Text/1","page":0},{"id":"/page/0/Text/2","page":0}],"page_info":{"bbox":[0,0,1,2]}}`, `{"blocks":[],"page_info":{"bbox":[0,0,3,4]}}`)
	var doc struct {
		Blocks []struct {
			ID   string `json:"id"`
			Page int    `json:"page"`
		} `json:"blocks"`
		Info map[string]struct {
			Box []float64 `json:"bbox"`
		} `json:"page_info"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if len(doc.Blocks) != 3 || doc.Blocks[1].ID != "/page/0/Text/2" || doc.Blocks[2].Page != 1 || len(doc.Info) != 2 || doc.Info["2"].Box[3] != 4 {
		t.Errorf("document %s", text)
	}
	if !strings.HasSuffix(e.Markdown.Key, "/chunks.json") {
		t.Errorf("event %+v", e.Markdown)
	}
}

func TestHTMLIsOneDocument(t *testing.T) {
	e, text := joined(t, job.OutputHTML, "<p>one</p>\n", "")
	want := "<body>\n<div class=\"page\" data-page-id=\"0\">\n<p>one</p>\n</div>\n<div class=\"page\" data-page-id=\"1\">\n" +
		"<blockquote><p><strong>Page 2 is missing</strong>: oom, it did not work</p></blockquote>\n</div>\n<div class=\"page\" data-page-id=\"2\">\n\n</div>\n</body>"
	if !strings.HasPrefix(text, "<!DOCTYPE html>") || !strings.Contains(text, want) || strings.Count(text, "<html>") != 1 {
		t.Errorf("document %s", text)
	}
	if !strings.HasSuffix(e.Markdown.Key, "/document.html") || e.Markdown.MediaType != "text/html; charset=utf-8" {
		t.Errorf("event %+v", e.Markdown)
	}
}

// A page that is no JSON would make the whole document unreadable.
func TestWhatIsNotJSONIsNotJoined(t *testing.T) {
	for output, text := range map[string]string{job.OutputJSON: `{"id":`, job.OutputChunks: `[]`} {
		if err := formOf(output, levels{}, true).page(nil, Page{Page: 7, Status: event.PageOK}, text, nil); failure.ClassOf(err, "") != failure.EngineError || !strings.Contains(err.Error(), "7") {
			t.Errorf("%s: %v", output, err)
		}
	}
}
