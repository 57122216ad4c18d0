package publisher

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

func TestOnePageDocument(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	good(t, j, span(1, 1), "hello")
	out := b.handleOne(t, rendered(j, span(1, 1), 1))
	e := convertedOf(t, out)
	if n := b.store.requests.Load(); n > 4 {
		t.Errorf("%d requests to the store, want at most 4", n)
	}
	want := "<!-- page 1 -->\n\n# Page 1 hello\n"
	if e.Markdown.Inline != want || read(t, e.Markdown.Key) != want || e.Markdown.Bytes != int64(len(want)) || e.Markdown.SHA256 != hash(want) {
		t.Errorf("markdown %+v", e.Markdown)
	}
	if e.Revision != 1 || !e.Complete || e.Cached || e.Pages != 1 || e.ConvertedPages != 1 || len(e.FailedPages) != 0 || e.CorrelationID != "order-1" || e.Attempts != 1 {
		t.Errorf("event %+v", e)
	}
	if e.Engine.Name != "text" || e.Engine.Version != "1.2.3" || e.Engine.Models["m"] != "1" {
		t.Errorf("engine %+v", e.Engine)
	}
	if ti := e.Timings; ti.Convert != 2 || ti.Validate != 0.5 || ti.Queued != 0.25 || ti.Total < 1 || ti.Publish <= 0 {
		t.Errorf("timings %+v", ti)
	}
	if out[0].ID != event.TerminalID(j) || out[0].Header["ce-id"] != event.TerminalID(j) || out[0].Header["ce-subject"] != j.Source.Path() {
		t.Errorf("output %s %v", out[0].ID, out[0].Header)
	}
	var m Manifest
	if err := json.Unmarshal([]byte(read(t, e.Manifest.Key)), &m); err != nil {
		t.Fatal(err)
	}
	if m.Revision != 1 || m.Inputs == "" || len(m.PageList) != 1 || m.PageList[0].Engine != "text" || m.PageList[0].Chars != 10 || m.Markdown.SHA256 != e.Markdown.SHA256 {
		t.Errorf("manifest %+v", m)
	}
}

func TestNothingUntilEveryPageIsAccountedFor(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	good(t, j, span(1, 4), "a")
	if out := b.handleOne(t, rendered(j, span(1, 4), 6)); out != nil {
		t.Fatalf("4 of 6 pages gave %+v", out)
	}
	if out := b.handleOne(t, withFailed(rendered(j, span(5, 5), 6), failure.OOM)); out != nil {
		t.Fatalf("5 of 6 pages gave %+v", out)
	}
	degraded(t, j, span(6, 6), "plain")
	e := convertedOf(t, b.handleOne(t, rendered(j, span(6, 6), 6)))
	if e.Complete || e.ConvertedPages != 5 || e.Pages != 6 || len(e.FailedPages) != 1 || e.FailedPages[0].Page != 5 || e.FailedPages[0].Class != failure.OOM {
		t.Errorf("event %+v", e)
	}
	if want := []event.PageWarning{{Page: 6, Warning: "degraded"}}; !slices.Equal(e.Warnings, want) {
		t.Errorf("warnings %+v", e.Warnings)
	}
	text := read(t, e.Markdown.Key)
	if !strings.Contains(text, "\n\n<!-- page 5 -->\n\n> **Page 5 is missing**: oom, it did not work\n\n<!-- page 6 -->\n\n# Page 6 plain\n") {
		t.Errorf("document %q", text)
	}
	var file lostFile
	if err := json.Unmarshal([]byte(read(t, j.PassPrefix()+"failed/000005-000005.json")), &file); err != nil || file.DeadLetter != "letter-000005-000005" {
		t.Errorf("lost page's file %+v, %v", file, err)
	}
}

func TestPagesOfSeveralEngines(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	good(t, j, span(1, 1), "text")
	recognised := resultOf(span(2, 4), "ocr")
	recognised.Engine, recognised.Version = "ocr", "4"
	put(t, j.RangePrefix(span(2, 4)), recognised)
	found := facts.Facts{Pages: 4, PageList: []facts.Page{{Page: 1, Kind: facts.KindProse}, {Page: 2, Kind: facts.KindScanned}, {Page: 4, Kind: facts.KindGarbled}}}
	if _, err := object.PutJSON(t.Context(), s3, bucket, j.PassPrefix()+facts.ObjectName, found, object.Put{}); err != nil {
		t.Fatal(err)
	}
	e := convertedOf(t, b.handleOne(t, rendered(j, span(1, 1), 4)))
	if e.Engine.Name != "ocr" || e.Engine.Version != "4" {
		t.Errorf("engine %+v, want the one of most pages", e.Engine)
	}
	var m Manifest
	if err := json.Unmarshal([]byte(read(t, e.Manifest.Key)), &m); err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, p := range m.PageList {
		said += p.Engine + ":" + p.Kind + " "
	}
	if want := "text:prose ocr:scanned ocr: ocr:garbled "; said != want {
		t.Errorf("%q, want %q", said, want)
	}
}

func TestWantedPagesOnly(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	good(t, j, span(1, 9), "a")
	m := rendered(j, span(1, 9), 100)
	m.Want = append(m.Want[:0], span(2, 3), span(7, 7))
	e := convertedOf(t, b.handleOne(t, m))
	want := "<!-- page 2 -->\n\n# Page 2 a\n\n<!-- page 3 -->\n\n# Page 3 a\n\n<!-- page 7 -->\n\n# Page 7 a\n"
	if e.Markdown.Inline != want || e.Pages != 100 || e.ConvertedPages != 3 || !e.Complete {
		t.Errorf("event %+v", e)
	}
}

func TestGoodBeforeDegradedBeforeLost(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	good(t, j, span(1, 2), "narrow")
	good(t, j, span(1, 3), "wide")
	degraded(t, j, span(3, 5), "plain wide")
	degraded(t, j, span(4, 4), "plain narrow")
	e := convertedOf(t, b.handleOne(t, withFailed(rendered(j, span(2, 6), 6), failure.Crash)))
	for page, want := range map[int]string{
		1: "# Page 1 wide", 2: "# Page 2 wide", 3: "# Page 3 wide", 4: "# Page 4 plain narrow", 5: "# Page 5 plain wide", 6: "> **Page 6 is missing**: crash",
	} {
		if !strings.Contains(e.Markdown.Inline, fmt.Sprintf("<!-- page %d -->\n\n%s", page, want)) {
			t.Errorf("page %d is not %q in %q", page, want, e.Markdown.Inline)
		}
	}
}

func TestImagesAreCopiedByPage(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	wide := resultOf(span(1, 2), "wide")
	wide.Images = []event.Image{
		{Key: "images/page-0001-01.png", Bytes: 3, MediaType: "image/png", Page: 1},
		{Key: "images/page-0002-01.png", Bytes: 4, MediaType: "image/png", Page: 2},
	}
	put(t, j.RangePrefix(span(1, 2)), wide)
	longer := resultOf(span(2, 3), "longer")
	longer.Images = []event.Image{{Key: "images/page-0002-01.png", Bytes: 5, MediaType: "image/png", Page: 2}}
	put(t, j.RangePrefix(span(2, 3)), longer)
	e := convertedOf(t, b.handleOne(t, rendered(j, span(1, 2), 3)))
	want := []event.Image{
		{Key: j.RevisionPrefix(1) + "images/page-0001-01.png", Bytes: 3, MediaType: "image/png", Page: 1},
		{Key: j.RevisionPrefix(1) + "images/page-0002-01.png", Bytes: 4, MediaType: "image/png", Page: 2},
	}
	if !slices.Equal(e.Images, want) {
		t.Fatalf("images %+v", e.Images)
	}
	for _, i := range want {
		if got := len(read(t, i.Key)); got != int(i.Bytes) {
			t.Errorf("%s has %d bytes", i.Key, got)
		}
	}

	escape := newJob(t, 2)
	bad := resultOf(span(1, 1), "x")
	bad.Images = []event.Image{{Key: "images/../../../r1/manifest.json", Bytes: 1, Page: 1}}
	if _, err := object.PutJSON(t.Context(), s3, bucket, escape.RangePrefix(span(1, 1))+"result.json", bad, object.Put{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.handle(t.Context(), stage.Delivery[event.Rendered]{Body: rendered(escape, span(1, 1), 1)}); err == nil {
		t.Error("an image outside its folder is copied")
	}
}

func TestFailedWhenNoPageCameThrough(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	if out := b.handleOne(t, withFailed(rendered(j, span(1, 2), 3), failure.Timeout)); out != nil {
		t.Fatalf("2 of 3 pages gave %+v", out)
	}
	out := b.handleOne(t, withFailed(rendered(j, span(3, 3), 3), failure.OOM))
	e := failedOf(t, out)
	if e.Stage != stage.GPURunner || e.Class != failure.Timeout || !e.Retryable || len(e.FailedPages) != 3 || *e.PageRange != span(1, 3) {
		t.Errorf("event %+v", e)
	}
	if e.DeadLetter == nil || *e.DeadLetter != (event.DeadLetterRef{Stream: deadletter.Stream, ID: "letter-000001-000002"}) {
		t.Errorf("dead letter %+v", e.DeadLetter)
	}
	if e.Message != "3 of 3 pages could not be converted (2 × timeout, 1 × oom); page 1: it did not work" {
		t.Errorf("message %q", e.Message)
	}
	if out[0].ID != event.TerminalID(j) {
		t.Errorf("id %s", out[0].ID)
	}
	if got := revisions(t, b, j); len(got) != 0 {
		t.Errorf("revisions %v of a failed document", got)
	}
}

func TestIncompleteCanBeFailure(t *testing.T) {
	b, j := newBench(t, Config{Concurrency: 1, Incomplete: IncompleteFailed}), newJob(t, 1)
	good(t, j, span(1, 2), "a")
	e := failedOf(t, b.handleOne(t, withFailed(rendered(j, span(3, 3), 3), failure.ModelBug)))
	if e.Class != failure.ModelBug || e.Message != "1 of 3 pages could not be converted (1 × model-bug); page 3: it did not work" {
		t.Errorf("event %+v", e)
	}
	if got := revisions(t, b, j); len(got) != 0 {
		t.Errorf("revisions %v", got)
	}
}

func TestFailedPageInsideADegradedResult(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	r := resultOf(span(1, 2), "x")
	for i := range r.Pages {
		r.Pages[i].Status, r.Pages[i].Class, r.Pages[i].Message = event.PageFailed, failure.ModelBug, "no words"
	}
	put(t, j.PassPrefix()+"ranges/"+span(1, 2).Dir()+"/", r)
	e := failedOf(t, b.handleOne(t, rendered(j, span(1, 2), 2)))
	if e.Class != failure.ModelBug || e.DeadLetter != nil || len(e.FailedPages) != 2 {
		t.Errorf("event %+v", e)
	}
}

func TestLostPageBeyondTheDocumentIsRefused(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1)
	m := rendered(j, span(1, 1), 1)
	m.Failed = []event.FailedPage{{Page: 2, Class: failure.OOM}}
	_, err := b.handle(t.Context(), stage.Delivery[event.Rendered]{Body: m})
	if failure.ClassOf(err, "") != failure.InvalidMessage {
		t.Errorf("error %v", err)
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{"zero": {}, "many": {Concurrency: 1000, Incomplete: IncompleteFailed}, "incomplete": {Concurrency: 1, Incomplete: "shrug"}} {
		if c.Validate() == nil {
			t.Errorf("%s: %+v is taken", name, c)
		}
	}
	if err := (Config{}).Validate(); !strings.Contains(err.Error(), "concurrency") || !strings.Contains(err.Error(), "incomplete") {
		t.Errorf("not every fault is named: %v", err)
	}
}

// TestWorkCountsForItsTenant: once, however often its message comes and whatever else is in it; nobody's work counts for nobody.
func TestWorkCountsForItsTenant(t *testing.T) {
	b, j := newBench(t, usual), newJob(t, 1).For("acme")
	if err := b.platform.Broker.SetTenants(t.Context(), tenant.Set{{Name: "acme", Source: "inbox"}}, 1); err != nil {
		t.Fatal(err)
	}
	good(t, j, span(1, 2), "a")
	for range 3 {
		b.handleOne(t, rendered(j, span(1, 2), 4))
	}
	good(t, j, span(3, 4), "b")
	e := convertedOf(t, b.handleOne(t, rendered(j, span(3, 4), 4)))
	if e.Tenant != "acme" {
		t.Errorf("the event is of tenant %q", e.Tenant)
	}
	other := newJob(t, 2)
	good(t, other, span(1, 1), "c")
	b.handleOne(t, rendered(other, span(1, 1), 1))
	all, err := b.platform.Broker.TenantReports(t.Context(), time.Now())
	if err != nil || len(all) != 1 || all[0].Used != (tenant.Usage{DeviceSeconds: 2}) {
		t.Errorf("%+v, %v; want two seconds for two ranges", all, err)
	}
}
