package jet_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// TestDiffOfWhatIsThere: the server fills in defaults, and still nothing differs after an apply; a KV bucket is what the client would have made.
func TestDiffOfWhatIsThere(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	want := jet.Topology{Replicas: 1, Engines: []string{"text"}}
	first := mustDiff(t, b, want)
	if len(first.Changes) != len(event.SubjectsDropped())+5+2 { // those of drops, five more of the work queue, and those of the advisories and the events: all streams are there
		t.Errorf("%d changes: %+v", len(first.Changes), first.Changes)
	}
	if err := b.Execute(t.Context(), first, false); err != nil {
		t.Fatal(err)
	}
	if again := mustDiff(t, b, want); len(again.Changes) != 0 {
		t.Errorf("applied, and still differs: %+v", again.Changes)
	}
	for _, kv := range jet.KeyValues(1) {
		if kv.Bucket == jet.KVUsage { // it takes batches, which the client knows nothing of
			continue
		}
		if _, err := b.JS().CreateOrUpdateKeyValue(t.Context(), kv); err != nil {
			t.Fatal(err)
		}
	}
	if changed := mustDiff(t, b, want); len(changed.Changes) != 0 {
		t.Errorf("the client makes other KV buckets: %+v", changed.Changes)
	}
}

func mustDiff(t *testing.T, b *jet.Broker, want jet.Topology) jet.Plan {
	t.Helper()
	p, err := b.Diff(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRefusesToLoseData: each change that would lose a message is named and not made; the same change to an empty stream is.
func TestRefusesToLoseData(t *testing.T) {
	for name, change := range map[string]func(*jetstream.StreamConfig){
		"larger than the limit": func(s *jetstream.StreamConfig) { s.MaxMsgsPerSubject = 2 * jet.MaxQueued },
		"forgets the oldest":    func(s *jetstream.StreamConfig) { s.Discard = jetstream.DiscardNew; s.MaxBytes = 1 << 30 },
		"a subject less":        func(s *jetstream.StreamConfig) { s.Subjects = append(s.Subjects, "pdf.else") },
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := pipelinetest.NATS(t)
			stream := jet.StreamEvents
			if name == "larger than the limit" {
				stream = jet.StreamJobs
			}
			s, err := b.JS().Stream(t.Context(), stream)
			if err != nil {
				t.Fatal(err)
			}
			config := s.CachedInfo().Config
			change(&config)
			if _, err := b.JS().UpdateStream(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			want := jet.Topology{Replicas: 1, MaxQueued: 1}
			empty := mustDiff(t, b, want)
			if len(empty.Changes) == 0 {
				t.Fatal("nothing differs")
			}
			for _, subject := range config.Subjects {
				if subject == "pdf.validated.*.*" {
					subject = "pdf.validated.text.bulk"
				}
				for range 2 {
					if _, err := b.JS().Publish(t.Context(), subject, make64()); err != nil {
						t.Fatal(err)
					}
				}
			}
			plan := mustDiff(t, b, want)
			if err := b.Execute(t.Context(), plan, false); !errors.Is(err, jet.ErrLoses) {
				t.Errorf("executed %+v: %v", plan.Changes, err)
			}
			if after := mustDiff(t, b, want); len(after.Changes) != len(plan.Changes) {
				t.Errorf("a refused plan changed something: %+v", after.Changes)
			}
			if err := b.Execute(t.Context(), plan, true); err != nil {
				t.Errorf("forced: %v", err)
			}
		})
	}
}

func make64() []byte {
	return []byte("0123456789012345678901234567890123456789012345678901234567890123")
}

// TestBoundsOfAnInstallationStay: what an operator declares is made, and a service that starts with the table's own values leaves it as it is.
func TestBoundsOfAnInstallationStay(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	want := jet.Topology{Replicas: 1, MaxQueued: 77, EventsMaxBytes: 1 << 30, StatusMaxAge: 3 * time.Hour}
	if err := b.Execute(t.Context(), mustDiff(t, b, want), false); err != nil {
		t.Fatal(err)
	}
	s, err := b.JS().Stream(t.Context(), "KV_"+jet.KVJobs)
	if err != nil {
		t.Fatal(err)
	}
	if age := s.CachedInfo().Config.MaxAge; age != want.StatusMaxAge {
		t.Errorf("the status is kept for %s", age)
	}
	if err := b.Apply(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if p := mustDiff(t, b, want); len(p.Changes) > 0 {
		t.Errorf("a service that starts has changed %+v", p.Changes)
	}
}

// TestApplyLeavesOthersAlone: what a later version made, a bound on the queue, and more replicas are not for a starting service to change.
func TestApplyLeavesOthersAlone(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	change := func(do func(*jetstream.StreamConfig)) {
		t.Helper()
		s, err := b.JS().Stream(t.Context(), jet.StreamJobs)
		if err != nil {
			t.Fatal(err)
		}
		config := s.CachedInfo().Config
		do(&config)
		if _, err := b.JS().UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	config := func() jetstream.StreamConfig {
		t.Helper()
		s, err := b.JS().Stream(t.Context(), jet.StreamJobs)
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().Config
	}
	change(func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.Duplicates = 1<<10, 3*time.Minute })
	if err := b.Apply(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if c := config(); c.MaxMsgsPerSubject != 1<<10 || c.Duplicates != jet.DedupeWindow {
		t.Errorf("MaxMsgsPerSubject %d, window %s", c.MaxMsgsPerSubject, c.Duplicates)
	}
	change(func(c *jetstream.StreamConfig) { c.Metadata["pdfmill-topology"], c.Duplicates = "999", 3*time.Minute })
	if err := b.Apply(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if c := config(); c.Duplicates != 3*time.Minute {
		t.Error("an old version changed what a new one made")
	}
	if err := b.Await(t.Context()); err != nil {
		t.Errorf("a newer topology is good enough: %v", err)
	}
}
