package jet

import (
	"context"
	"fmt"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/job"
)

// remembered is how old a message may be for the broker's own memory of ids to keep its job from ending twice.
var remembered = DedupeWindow / 2

// over reports whether the end of a pass is told, of which a message was stored at stored. While the broker remembers ids it need not be known: whatever is
// published again counts once. But when everything was off for a night, just after an end was told and before its message was acknowledged, a
// second attempt could come to another end.
func (b *Broker) over(ctx context.Context, work job.Job, stored time.Time) (bool, error) {
	if work.Drop == "" {
		return false, nil
	}
	stream, err := b.js.Stream(ctx, StreamEvents)
	if err != nil {
		return false, missing("stream "+StreamEvents, err)
	}
	age := stream.CachedInfo().TimeStamp.Sub(stored) // by the clock that stored it: that of this process may be another one, and wrong
	switch {
	case age < 0: // the server's clock was set back: what was told since may bear an earlier time
		stored = time.Time{}
	case age < remembered:
		return false, nil
	}
	id := event.TerminalID(work)
	is, err := b.told.since(ctx, stored, id)
	if err != nil {
		return false, fmt.Errorf("look for event %s: %w", id, err)
	}
	return is, nil
}
