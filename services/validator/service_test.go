package validator_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"path"
	"sync"
	"testing"
	"time"

	documents "github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
	"github.com/pdfmill/pdfmill/services/validator"
)

// slowStore has one document under every source key. It keeps facts only when another document's are to be kept as well.
type slowStore struct {
	object.Store
	pdf []byte

	mu   sync.Mutex
	kept map[string]bool // keys of facts
	both chan struct{}   // closed when there are those of two documents
}

func (s *slowStore) Get(context.Context, string, string) (io.ReadCloser, object.Info, error) {
	return io.NopCloser(bytes.NewReader(s.pdf)), object.Info{}, nil
}

func (s *slowStore) List(context.Context, string, string) iter.Seq2[object.Info, error] {
	return func(func(object.Info, error) bool) {}
}

func (s *slowStore) Put(ctx context.Context, _, key string, _ io.Reader, _ int64, _ object.Put) (object.Info, error) {
	if path.Base(key) != facts.ObjectName {
		return object.Info{}, nil
	}
	s.mu.Lock()
	if s.kept[key] = true; len(s.kept) == 2 {
		close(s.both)
	}
	s.mu.Unlock()
	select {
	case <-s.both:
		return object.Info{}, nil
	case <-ctx.Done():
		return object.Info{}, ctx.Err()
	}
}

// TestAProbeDoesNotWaitForTheStore: while one document's facts are being kept, the only probe looks at the next.
func TestAProbeDoesNotWaitForTheStore(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	pdf := plain(1).bytes()
	store := &slowStore{pdf: pdf, kept: map[string]bool{}, both: make(chan struct{})}
	s, err := validator.New(validator.Config{
		Concurrency: 1, Engines: []string{job.EngineText}, MaxRangePages: 32, Limits: patient(), Sandbox: probes(t), Scratch: t.TempDir(),
	}, lifecycle.Platform{Broker: b, Store: store, Log: telemetry.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer group.Wait()
	defer end()
	for i := range 2 {
		source := documents.Source{Bucket: "inbox", Key: fmt.Sprint(i), Size: int64(len(pdf)), SHA256: fmt.Sprintf("%x", sha256.Sum256(pdf))}
		if err := b.Publish(t.Context(), event.Ingested{Job: job.New(source, job.Default(), "", time.Now())}.Output()); err != nil {
			t.Fatal(err)
		}
	}
	pipelinetest.Eventually(t, "both documents are planned", func() bool {
		stream, err := b.JS().Stream(t.Context(), jet.StreamJobs)
		if err != nil {
			t.Fatal(err)
		}
		state := stream.CachedInfo().State
		return state.Msgs == 2 && state.LastSeq == 4 // the two that came are gone, two ranges have followed
	})
}
