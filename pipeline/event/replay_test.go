package event_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

func TestReplayKeepsTheDropAndRenamesTheWork(t *testing.T) {
	sha := "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	j := job.New(document.Source{Bucket: "inbox", Key: "a.pdf", SHA256: sha, ModTime: time.Unix(1, 0)}, job.Default(), "c-1", time.Unix(2, 0))
	r := deadletter.Record{ID: "x", Stage: stage.GPURunner, Job: j}

	out, err := event.Replay(r, 3, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	same := out.Body.(event.Ingested)
	if same.ID != j.ID || same.Drop != j.Drop || same.Pass != 3 || same.CorrelationID != "c-1" || out.Subject != event.SubjectIngested {
		t.Errorf("unchanged: %+v", out)
	}
	out, err = event.Replay(r, 3, map[string]string{"engine": "text", "pages": "1-2"}, false)
	if err != nil {
		t.Fatal(err)
	}
	changed := out.Body.(event.Ingested)
	if changed.ID != job.ID(sha, changed.Options) || changed.ID == j.ID || changed.Drop != j.Drop || changed.Options.Engine != "text" {
		t.Errorf("changed: %+v", changed)
	}
	out, err = event.Replay(r, 3, map[string]string{"priority": "interactive"}, false)
	if err != nil || out.Body.(event.Ingested).ID != j.ID {
		t.Errorf("another priority is other work: %+v, %v", out, err)
	}

	died := event.NewDropped(j.Source)
	died.Set = map[string]string{"engine": "marker", "images": "no"}
	payload, err := json.Marshal(died)
	if err != nil {
		t.Fatal(err)
	}
	out, err = event.Replay(deadletter.Record{Stage: stage.Ingest, Job: died.Work(), Payload: payload}, 1, map[string]string{"engine": "text"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if d := out.Body.(event.Dropped); d.Pass != 1 || d.Set["engine"] != "text" || d.Set["images"] != "no" || !event.IsDropped(out.Subject) {
		t.Errorf("at ingest: %+v", d)
	}
	for name, bad := range map[string]deadletter.Record{
		"no job": {Stage: stage.Validator}, "no payload": {Stage: stage.Ingest}, "not an event": {Stage: stage.Ingest, Payload: []byte(`{}`)},
	} {
		if out, err := event.Replay(bad, 1, nil, false); err == nil {
			t.Errorf("%s: %+v", name, out)
		}
	}
}
