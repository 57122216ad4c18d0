package ingest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// ending waits for the one pdf.failed and checks that nobody drops the object again: not this service, nor one that remembers nothing.
func (b *bench) ending(s *Service, stop func()) event.Failed {
	b.t.Helper()
	pipelinetest.Eventually(b.t, "pdf.failed", func() bool { return len(b.failed()) > 0 })
	b.quiet(s)
	stop()
	again, stopAgain := b.start()
	b.quiet(again)
	stopAgain()
	if n := again.hints.sent.Load(); n != 0 {
		b.t.Errorf("after a restart it was dropped again, %d times", n)
	}
	all := b.failed()
	if len(all) != 1 || len(b.ingested()) > 0 {
		b.t.Fatalf("failed %+v, ingested %s", all, keys(b.ingested()))
	}
	if all[0].DeadLetter == nil || all[0].Stage != "ingest" {
		b.t.Errorf("failed %+v", all[0])
	}
	return all[0]
}

func TestAnInvalidOptionIsNamed(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	s, stop := b.start()
	b.put("wish.pdf", "x", map[string]string{"pdfmill-engine": "magic", "pdfmill-pages": "7-3"})
	f := b.ending(s, stop)
	if f.Class != failure.InvalidMessage || f.Source.Key != "wish.pdf" || !strings.Contains(f.Message, "magic") || !strings.Contains(f.Message, "option pages") {
		t.Errorf("failed %+v", f)
	}
	// A replay that corrects one of them is told of the other; one that corrects both gets through.
	d := b.hint("wish.pdf")
	d.Pass, d.Set = 1, map[string]string{"engine": "text"}
	if err := b.handle(b.service(), d); !failure.Permanent(err) || strings.Contains(err.Error(), "magic") || !strings.Contains(err.Error(), "option pages") {
		t.Errorf("half corrected: %v", err)
	}
	d.Set["pages"] = "1-2"
	if err := b.handle(b.service(), d); err != nil {
		t.Fatal(err)
	}
	if all := b.ingested(); len(all) != 1 || all[0].Pass != 1 || all[0].Options.Engine != "text" || all[0].Options.Pages.String() != "1-2" {
		t.Errorf("ingested %+v", all)
	}
}

// TestTwoHintsOfOneStateFailOnce: MinIO's event and the listing tell of one put, with different times; what becomes of it is one end and one dead letter.
func TestTwoHintsOfOneStateFailOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.put("wish.pdf", "x", map[string]string{"pdfmill-engine": "magic"})
	s, stop := b.start()
	defer stop()
	pipelinetest.Eventually(t, "the listing's hint fails", func() bool { return len(b.failed()) > 0 })
	event := b.hint("wish.pdf")
	event.Records[0].EventTime = event.Records[0].EventTime.Add(2 * time.Second)
	body, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.broker.JS().Publish(t.Context(), "pdf.dropped", body); err != nil { // without an id, as MinIO does
		t.Fatal(err)
	}
	b.quiet(s)
	if all := b.failed(); len(all) != 1 {
		t.Errorf("%d ends of one drop: %+v", len(all), all)
	}
	dead, err := b.broker.JS().Stream(t.Context(), jet.StreamDead)
	if err != nil {
		t.Fatal(err)
	}
	if n := dead.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d dead letters of one drop", n)
	}
}

func TestTooLargeNamesTheBound(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.MaxBytes = 10
	s, stop := b.start()
	b.write("large.pdf", "eleven byte")
	f := b.ending(s, stop)
	if f.Class != failure.LimitBytes || !strings.Contains(f.Message, "11 bytes") || !strings.Contains(f.Message, "limit of 10") {
		t.Errorf("failed %+v", f)
	}
	b.write("fits.pdf", "ten bytes.")
	s, _ = b.start()
	b.await(s, 1)
}

func TestDeletedBeforeItWasRead(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	b.put("gone.pdf", "x", nil)
	if err := store.Delete(t.Context(), b.bucket, "gone.pdf"); err != nil {
		t.Fatal(err)
	}
	s, stop := b.start()
	if f := b.ending(s, stop); f.Class != failure.SourceGone || f.Source.Key != "gone.pdf" {
		t.Errorf("failed %+v", f)
	}
}

func TestDeletedAfterItWasTaken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.service()
	b.put("a.pdf", "x", nil)
	d := b.hint("a.pdf")
	if err := b.handle(s, d); err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(t.Context(), b.bucket, "a.pdf"); err != nil {
		t.Fatal(err)
	}
	if err := b.handle(s, d); err != nil {
		t.Errorf("a late hint about what was taken: %v", err)
	}
	later := event.NewDropped(document.Source{Bucket: b.bucket, Key: "a.pdf", Size: 2, ModTime: time.Now().Add(5 * time.Second)})
	if err := b.handle(s, later); failure.ClassOf(err, "") != failure.SourceGone {
		t.Errorf("a hint about a later state, which nobody read: %v", err)
	}
	d.Pass = 1
	if err := b.handle(s, d); failure.ClassOf(err, "") != failure.SourceGone {
		t.Errorf("a replay of what is gone: %v", err)
	}
}
