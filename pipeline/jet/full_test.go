package jet_test

import (
	"fmt"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// TestAPlanThatNeverFitsAtOnceComesThrough: a document with more ranges than may wait is published as room comes, in which order or how often it is tried.
func TestAPlanThatNeverFitsAtOnceComesThrough(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	plan := mustDiff(t, b, jet.Topology{Replicas: 1, MaxQueued: 3})
	if err := b.Execute(t.Context(), plan, false); err != nil {
		t.Fatal(err)
	}
	outputs := make([]stage.Output, 8)
	for i := range outputs {
		outputs[i] = stage.Output{Subject: "pdf.validated.text.bulk", ID: fmt.Sprint("range-", i), Body: i}
	}
	s, err := b.JS().Stream(t.Context(), jet.StreamJobs)
	if err != nil {
		t.Fatal(err)
	}
	for seen := uint64(0); seen < 8; {
		err := b.Publish(t.Context(), outputs...)
		info, failed := s.Info(t.Context())
		if failed != nil {
			t.Fatal(failed)
		}
		if n := info.State.Msgs; n > 3 {
			t.Fatalf("%d messages wait, more than 3", n)
		}
		if info.State.LastSeq == seen {
			t.Fatalf("after %d messages nothing more comes through: %v", seen, err)
		}
		seen = info.State.LastSeq
		if err := s.Purge(t.Context()); err != nil { // who works on them
			t.Fatal(err)
		}
	}
}
