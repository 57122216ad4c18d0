package jet_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
)

// TestDesk asks for everything with a bare request.
func TestDesk(t *testing.T) {
	b, serverURL := pipelinetest.NATS(t)
	ctx, end := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer end()
	for range 2 { // two processes: one answers
		group.Go(func() {
			if err := jet.NewDesk(b, "test", telemetry.Discard()).Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	nc, err := nats.Connect(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ask := func(what string, r jet.DeskRequest) (answer map[string]any, fault string) {
		t.Helper()
		body, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var msg *nats.Msg
		pipelinetest.Eventually(t, "somebody answers "+what, func() bool {
			msg, err = nc.Request(jet.DeskSubject+"."+what, body, 10*time.Second)
			return err == nil
		})
		if fault = msg.Header.Get("Nats-Service-Error"); fault == "" {
			if err := json.Unmarshal(msg.Data, &answer); err != nil {
				t.Fatal(err)
			}
		}
		return answer, fault
	}
	j := testJob("a")
	record := deadletter.Record{ID: "one", Stage: stage.Validator, Class: "timeout", Message: "slow", Job: j, DiedAt: time.Now(), Payload: mustJSON(t, event.Ingested{Job: j})}
	for _, id := range []string{"one", "two"} {
		record.ID = id
		if _, err := deadletter.Publish(t.Context(), b.JS(), record); err != nil {
			t.Fatal(err)
		}
	}
	if answer, fault := ask("dead.list", jet.DeskRequest{Class: "timeout", Limit: 1}); fault != "" || len(answer["dead_letters"].([]any)) != 1 || answer["more"] != true {
		t.Errorf("list: %v %s", answer, fault)
	}
	if answer, fault := ask("dead.groups", jet.DeskRequest{}); fault != "" || answer["groups"].([]any)[0].(map[string]any)["count"] != 2.0 {
		t.Errorf("groups: %v %s", answer, fault)
	}
	if _, fault := ask("dead.replay", jet.DeskRequest{}); !strings.Contains(fault, "which ones") {
		t.Errorf("a replay of nothing in particular: %q", fault)
	}
	if _, fault := ask("dead.list", jet.DeskRequest{Class: "bad-luck"}); !strings.Contains(fault, "unknown class") {
		t.Errorf("an unknown class: %q", fault)
	}
	if answer, fault := ask("dead.replay", jet.DeskRequest{Class: "timeout", By: "tester"}); fault != "" || answer["replayed"] != 1.0 {
		t.Errorf("replay: %v %s", answer, fault)
	}
	if n := messages(t, b, jet.StreamJobs); n != 1 {
		t.Errorf("%d messages in the queue after the replay, want 1", n)
	}
	if answer, fault := ask("cancel", jet.DeskRequest{Job: j.ID, By: "tester"}); fault != "" || answer["cancelled"] != 1.0 {
		t.Errorf("cancel: %v %s", answer, fault)
	}
	if answer, fault := ask("status", jet.DeskRequest{Job: j.ID}); fault != "" || answer["class"] != "cancelled" {
		t.Errorf("status: %v %s", answer, fault)
	}
	if answer, fault := ask("dead.drop", jet.DeskRequest{IDs: []string{"one"}}); fault != "" || answer["dropped"] != 1.0 {
		t.Errorf("drop: %v %s", answer, fault)
	}
}
