package deadletter

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Mark says how far a drop was replayed: the value of its key in the KV bucket Replays. A record of an earlier pass is dealt with.
type Mark struct {
	Pass       int       `json:"pass"` // the latest that was started
	ReplayedAt time.Time `json:"replayed_at"`
	By         string    `json:"by"`
	Count      int       `json:"count"`
	// Begun is a pass whose message somebody was about to publish, and did perhaps, when it is later than Pass: that one died, or has not come to recording it.
	Begun int `json:"begun,omitempty"`

	revision uint64    // of the key, 0: there is none
	written  time.Time // by the server's clock
}

// begunFor is how long a pass that was begun and not recorded may be begun again: half of the broker's memory for message ids, so that two messages about it are
// one. Afterwards it may have been through, and is left alone: there is a next one.
var begunFor = 5 * time.Minute

// mark reads a drop's mark; a drop that was never replayed has the zero Mark.
func (b *Box) mark(ctx context.Context, drop string) (m Mark, err error) {
	if !isDrop(drop) {
		return m, nil // a message that could not be read belongs to no drop
	}
	entry, err := b.marks.Get(ctx, drop)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return m, nil
	}
	if err != nil {
		return m, fmt.Errorf("replay mark of drop %s: %w", drop, err)
	}
	if err := json.Unmarshal(entry.Value(), &m); err != nil {
		return m, fmt.Errorf("replay mark of drop %s: %w", drop, err)
	}
	m.revision, m.written = entry.Revision(), entry.Created()
	return m, nil
}

// write replaces a mark that was read, by compare-and-set: done is false when somebody else came first.
func (b *Box) write(ctx context.Context, drop string, m Mark) (done bool, err error) {
	data, err := json.Marshal(m)
	if err != nil {
		return false, fmt.Errorf("marshal replay mark of drop %s: %w", drop, err)
	}
	if m.revision == 0 {
		_, err = b.marks.Create(ctx, drop, data)
	} else {
		_, err = b.marks.Update(ctx, drop, data, m.revision)
	}
	switch {
	case err == nil:
		return true, nil
	case lostRace(err):
		return false, nil
	}
	return false, fmt.Errorf("write replay mark of drop %s: %w", drop, err)
}

// begin notes that a pass, the next as far as the caller knows, is about to be started, and returns which that is: 0 when somebody else started it meanwhile.
func (b *Box) begin(ctx context.Context, drop string, next int) (pass int, err error) {
	for done := false; !done; {
		m, err := b.mark(ctx, drop)
		if err != nil || m.Pass >= next {
			return 0, err
		}
		if pass = next; m.Begun >= pass {
			info, err := b.stream.Info(ctx)
			if err != nil {
				return 0, fmt.Errorf("ask %s for the time: %w", Stream, err)
			}
			if age := info.TimeStamp.Sub(m.written); age >= 0 && age < begunFor {
				return m.Begun, nil
			}
			pass = m.Begun + 1
		}
		m.Begun = pass
		if done, err = b.write(ctx, drop, m); err != nil {
			return 0, err
		}
	}
	return pass, nil
}

// raise records that a pass was started, by compare-and-set. It reports false when somebody else recorded it first: the pass
// itself is then theirs and ours alike, because its message has one id.
func (b *Box) raise(ctx context.Context, drop string, pass int, by string, now time.Time) (bool, error) {
	for {
		m, err := b.mark(ctx, drop)
		if err != nil {
			return false, err
		}
		if m.Pass >= pass {
			return false, nil
		}
		m.Pass, m.ReplayedAt, m.By, m.Count = pass, now.UTC(), by, m.Count+1
		if done, err := b.write(ctx, drop, m); done || err != nil {
			return done, err
		}
	}
}

// NextPass starts the pass of a drop that follows after: publish sends it, before it is recorded. The outcome is Replayed, WouldReplay in a dry run, or Already
// when somebody else started the same pass meanwhile, which then is one.
func (b *Box) NextPass(ctx context.Context, drop string, after int, by string, dryRun bool, publish func(pass int) error) (outcome string, err error) {
	mark, err := b.mark(ctx, drop)
	if err != nil {
		return "", err
	}
	if mark.Pass > after {
		return Already, nil // and not ended yet
	}
	if dryRun {
		return WouldReplay, nil
	}
	pass, err := b.begin(ctx, drop, after+1)
	if err != nil {
		return "", err
	}
	if pass == 0 {
		return Already, nil
	}
	if err := publish(pass); err != nil {
		return "", err
	}
	first, err := b.raise(ctx, drop, pass, by, time.Now())
	if err != nil {
		return "", err
	}
	if !first {
		return Already, nil
	}
	return Replayed, nil
}

// isDrop reports whether a record names the drop it belongs to.
func isDrop(drop string) bool {
	_, err := hex.DecodeString(drop)
	return err == nil && drop != ""
}

// lostRace reports whether a compare-and-set failed because another one came first.
func lostRace(err error) bool {
	api := (*jetstream.APIError)(nil)
	return errors.Is(err, jetstream.ErrKeyExists) || (errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence)
}
