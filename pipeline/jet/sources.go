package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/document"
)

// Taken is an entry of the KV bucket pdf_sources: which state of an object ingest has dealt with last. There is one an object key.
type Taken struct {
	Source document.Source `json:"source"` // with its SHA256 when Job is set
	// Job is what the state became. "" says that a message of the work queue, or its dead letter, answers for it: nobody needs to drop it again.
	Job     string    `json:"job,omitempty"`
	TakenAt time.Time `json:"taken_at"`
	// Racy says that the object was read so soon after its modification that a later change may look the same: it wants a second look.
	Racy bool `json:"racy,omitempty"`
}

// Sources is the KV bucket pdf_sources, opened at first use. It is safe for concurrent use.
type Sources struct {
	broker *Broker

	mu sync.Mutex
	kv jetstream.KeyValue
}

// NewSources does not connect yet.
func NewSources(b *Broker) *Sources { return &Sources{broker: b} }

func (s *Sources) open(ctx context.Context) (jetstream.KeyValue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kv == nil {
		kv, err := s.broker.js.KeyValue(ctx, KVSources)
		if err != nil {
			return nil, missing("KV bucket "+KVSources, err)
		}
		s.kv = kv
	}
	return s.kv, nil
}

// Get returns what is known about the object that source names, whatever its state; found is false when nothing is.
func (s *Sources) Get(ctx context.Context, source document.Source) (t Taken, found bool, err error) {
	kv, err := s.open(ctx)
	if err != nil {
		return t, false, err
	}
	entry, err := kv.Get(ctx, source.KeyID())
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return t, false, nil
	}
	if err != nil {
		return t, false, fmt.Errorf("read what is known of %s: %w", source.Path(), err)
	}
	if err := json.Unmarshal(entry.Value(), &t); err != nil {
		return t, false, fmt.Errorf("read what is known of %s: %w", source.Path(), err)
	}
	return t, true, nil
}

// Put replaces what is known about the object.
func (s *Sources) Put(ctx context.Context, t Taken) error {
	kv, err := s.open(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(t)
	if err == nil {
		_, err = kv.Put(ctx, t.Source.KeyID(), data)
	}
	if err != nil {
		return fmt.Errorf("note that %s was taken: %w", t.Source.Path(), err)
	}
	return nil
}

// Promise notes that a message of the work queue answers for a state of an object, unless that state is known, or becomes so at the same time.
func (s *Sources) Promise(ctx context.Context, t Taken) error {
	kv, err := s.open(ctx)
	if err != nil {
		return err
	}
	fail := func(err error) error { return fmt.Errorf("note that %s waits: %w", t.Source.Path(), err) }
	revision := uint64(0)
	entry, err := kv.Get(ctx, t.Source.KeyID())
	if err == nil {
		var was Taken
		if json.Unmarshal(entry.Value(), &was) == nil && was.Source.Version() == t.Source.Version() {
			return nil
		}
		revision = entry.Revision()
	} else if !errors.Is(err, jetstream.ErrKeyNotFound) {
		return fail(err)
	}
	data, err := json.Marshal(t)
	if err == nil {
		_, err = kv.Update(ctx, t.Source.KeyID(), data, revision)
	}
	if err != nil && !lostRace(err) {
		return fail(err)
	}
	return nil
}

// Follow calls see for every entry there is, then ready, then see for every entry as it is put, until ctx ends; then it returns nil. An error
// means that entries may have been missed: follow again.
func (s *Sources) Follow(ctx context.Context, ready func(), see func(Taken)) error {
	kv, err := s.open(ctx)
	if err != nil {
		return err
	}
	return followKeys(ctx, kv, ">", func(entry jetstream.KeyValueEntry) {
		if entry == nil { // all that was there has been seen
			ready()
			return
		}
		var t Taken
		if json.Unmarshal(entry.Value(), &t) == nil { // else it was written by a newer version
			see(t)
		}
	}, jetstream.IgnoreDeletes())
}
