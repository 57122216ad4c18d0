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
}

// mark reads a drop's mark; a drop that was never replayed has the zero Mark and revision 0.
func (b *Box) mark(ctx context.Context, drop string) (m Mark, revision uint64, err error) {
	if !isDrop(drop) {
		return m, 0, nil // a message that could not be read belongs to no drop
	}
	entry, err := b.marks.Get(ctx, drop)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return m, 0, nil
	}
	if err != nil {
		return m, 0, fmt.Errorf("replay mark of drop %s: %w", drop, err)
	}
	if err := json.Unmarshal(entry.Value(), &m); err != nil {
		return m, 0, fmt.Errorf("replay mark of drop %s: %w", drop, err)
	}
	return m, entry.Revision(), nil
}

// raise records that a pass was started, by compare-and-set. It reports false when somebody else recorded it first: the pass
// itself is then theirs and ours alike, because its message has one id.
func (b *Box) raise(ctx context.Context, drop string, pass int, by string, now time.Time) (bool, error) {
	for {
		m, revision, err := b.mark(ctx, drop)
		if err != nil {
			return false, err
		}
		if m.Pass >= pass {
			return false, nil
		}
		data, err := json.Marshal(Mark{Pass: pass, ReplayedAt: now.UTC(), By: by, Count: m.Count + 1})
		if err != nil {
			return false, fmt.Errorf("marshal replay mark of drop %s: %w", drop, err)
		}
		if revision == 0 {
			_, err = b.marks.Create(ctx, drop, data)
		} else {
			_, err = b.marks.Update(ctx, drop, data, revision)
		}
		switch {
		case err == nil:
			return true, nil
		case !lostRace(err):
			return false, fmt.Errorf("write replay mark of drop %s: %w", drop, err)
		}
	}
}

// NextPass starts the pass of a drop that follows after: publish sends it, before it is recorded. The outcome is Replayed, WouldReplay in a dry run, or Already
// when somebody else started the same pass meanwhile, which then is one.
func (b *Box) NextPass(ctx context.Context, drop string, after int, by string, dryRun bool, publish func(pass int) error) (outcome string, err error) {
	mark, _, err := b.mark(ctx, drop)
	if err != nil {
		return "", err
	}
	if mark.Pass > after {
		return Already, nil // and not ended yet
	}
	if dryRun {
		return WouldReplay, nil
	}
	if err := publish(after + 1); err != nil {
		return "", err
	}
	first, err := b.raise(ctx, drop, after+1, by, time.Now())
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
