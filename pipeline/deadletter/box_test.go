package deadletter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

var born = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// letter is a dead letter of document n; page tells apart several of one document.
func letter(n, page int, stageName string, class failure.Class, message string) deadletter.Record {
	source := document.Source{
		Bucket: "inbox", Key: fmt.Sprintf("team-%d/doc-%d.pdf", n%2, n), ETag: fmt.Sprint(n), Size: 10, SHA256: strings.Repeat(fmt.Sprintf("%04x", n), 16),
		ModTime: born,
	}
	j := job.New(source, job.Default(), "", born)
	body, _ := json.Marshal(event.Ingested{Job: j})
	if stageName == stage.Ingest {
		d := event.NewDropped(source)
		body, _ = json.Marshal(d)
		j = d.Work()
	}
	return deadletter.Record{
		ID: deadletter.RecordID(stageName, fmt.Sprintf("%s/%d", j.PassID(), page)), Stage: stageName, Class: class, Message: message,
		Job: j, Subject: event.SubjectIngested, Payload: body, Attempts: 1, DiedAt: born.Add(time.Duration(n) * time.Minute),
	}
}

func box(t *testing.T, letters ...deadletter.Record) (*deadletter.Box, *jet.Broker, string) {
	t.Helper()
	b, url := pipelinetest.NATS(t)
	for _, r := range letters {
		if _, err := deadletter.Publish(t.Context(), b.JS(), r); err != nil {
			t.Fatal(err)
		}
	}
	return open(t, b), b, url
}

func open(t *testing.T, b *jet.Broker) *deadletter.Box {
	t.Helper()
	dead, err := deadletter.NewBox(t.Context(), b.JS())
	if err != nil {
		t.Fatal(err)
	}
	return dead
}

func ids(t *testing.T, b *deadletter.Box, f deadletter.Filter) (out []string) {
	t.Helper()
	for e, err := range b.List(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.ID)
	}
	return out
}

func TestFilterSelects(t *testing.T) {
	a := letter(0, 0, stage.Validator, failure.PDFEncrypted, `open "a": a password is needed`)
	b := letter(1, 0, stage.Validator, failure.NotPDF, "it is HTML")
	c := letter(2, 0, stage.GPURunner, failure.OOM, "page 3 needs 9 GiB")
	d := letter(3, 0, stage.Ingest, failure.SourceGone, "the object is gone")
	dead, broker, _ := box(t, a, b, c, d)
	for name, want := range map[string]struct {
		filter deadletter.Filter
		ids    []string
	}{
		"all":           {deadletter.Filter{}, []string{a.ID, b.ID, c.ID, d.ID}},
		"ids":           {deadletter.Filter{IDs: []string{d.ID, b.ID}}, []string{b.ID, d.ID}},
		"stage":         {deadletter.Filter{Stage: stage.Validator}, []string{a.ID, b.ID}},
		"class":         {deadletter.Filter{Class: failure.OOM}, []string{c.ID}},
		"stage + class": {deadletter.Filter{Stage: stage.Validator, Class: failure.OOM}, nil},
		"since":         {deadletter.Filter{Since: born.Add(2 * time.Minute)}, []string{c.ID, d.ID}},
		"until":         {deadletter.Filter{Until: born.Add(2 * time.Minute)}, []string{a.ID, b.ID}},
		"source":        {deadletter.Filter{Source: "inbox/team-1/"}, []string{b.ID, d.ID}},
		"job":           {deadletter.Filter{Job: c.Job.ID}, []string{c.ID}},
		"text":          {deadletter.Filter{Text: "PASSWORD"}, []string{a.ID}},
	} {
		if got := ids(t, dead, want.filter); !slices.Equal(got, want.ids) {
			t.Errorf("%s: %v, want %v", name, got, want.ids)
		}
	}
	for _, wrong := range []deadletter.Filter{{Stage: "kitchen"}, {Class: "bad.*"}, {Since: born, Until: born}} {
		for _, err := range dead.List(t.Context(), wrong) {
			if err == nil {
				t.Errorf("filter %+v is taken", wrong)
			}
		}
	}
	// A foreign message does not hide the others, and can be dropped.
	if _, err := broker.JS().Publish(t.Context(), "pdf.dead.validator.crash", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, dead, deadletter.Filter{}); len(got) != 5 || got[4] != "unreadable-5" {
		t.Errorf("with a foreign message: %v", got)
	}
}

func TestGetAndDrop(t *testing.T) {
	a, b := letter(1, 0, stage.Validator, failure.NotPDF, "it is HTML"), letter(2, 0, stage.Validator, failure.NotPDF, "it is HTML")
	dead, _, _ := box(t, a, b)
	e, err := dead.Get(t.Context(), b.ID)
	if err != nil || e.Seq != 2 || e.Job.Source.Key != b.Job.Source.Key || string(e.Payload) != string(b.Payload) {
		t.Fatalf("got %+v, %v", e, err)
	}
	n, err := dead.Drop(t.Context(), a.ID, "nobody", a.ID)
	if n != 1 || !errors.Is(err, deadletter.ErrNotFound) || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("dropped %d, %v", n, err)
	}
	if got := ids(t, dead, deadletter.Filter{}); !slices.Equal(got, []string{b.ID}) {
		t.Errorf("left: %v", got)
	}
	if _, err := dead.Get(t.Context(), a.ID); !errors.Is(err, deadletter.ErrNotFound) {
		t.Errorf("get what was dropped: %v", err)
	}
}

func TestGroupsCountByCause(t *testing.T) {
	var letters []deadletter.Record
	for n := range 40 { // more than one pull
		letters = append(letters, letter(n, 0, stage.Validator, failure.PDFEncrypted, fmt.Sprintf(`open "doc-%d.pdf": a password is needed`, n)))
	}
	letters = append(letters, letter(50, 0, stage.GPURunner, failure.OOM, "page 3 needs 9 GiB"), letter(51, 0, stage.GPURunner, failure.OOM, "page 12 needs 4 GiB"))
	dead, _, _ := box(t, letters...)
	groups, err := dead.Groups(t.Context(), deadletter.Filter{})
	if err != nil || len(groups) != 2 {
		t.Fatalf("%v, %v", groups, err)
	}
	if g := groups[0]; g.Count != 40 || g.Open != 40 || g.Class != failure.PDFEncrypted || !g.First.Equal(born) || g.Example != letters[39].ID {
		t.Errorf("first group %+v", g)
	}
	if got := groups[1].String(); got != "2 × oom at gpu-runner: page N needs N GiB" {
		t.Errorf("second group %q", got)
	}
}

func TestScanEndsWithItsContext(t *testing.T) {
	dead, _, _ := box(t, letter(1, 0, stage.Validator, failure.NotPDF, "it is HTML"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range dead.List(ctx, deadletter.Filter{}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
}

// A listing shows what was there when it began, whatever is added or dropped while it runs.
func TestListWhileOthersPublishAndDrop(t *testing.T) {
	var letters []deadletter.Record
	for n := range 80 {
		letters = append(letters, letter(n, 0, stage.Validator, failure.NotPDF, "it is HTML"))
	}
	dead, broker, _ := box(t, letters...)
	seen := 0
	for e, err := range dead.List(t.Context(), deadletter.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 1 {
			var last []string
			for _, r := range letters[40:] {
				last = append(last, r.ID)
			}
			if n, err := dead.Drop(t.Context(), last...); n != 40 || err != nil {
				t.Fatal(n, err)
			}
		}
		if _, err := deadletter.Publish(t.Context(), broker.JS(), letter(1000+seen, 0, stage.Validator, failure.NotPDF, "new")); err != nil {
			t.Fatal(err)
		}
		if e.Message == "new" {
			t.Fatal("it lists what came after it began")
		}
	}
	if seen < 40 || seen > 80 {
		t.Errorf("%d seen", seen)
	}
}
