package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// hintBatch is how many hints are published in one go; the broker takes up to a thousand.
const hintBatch = 256

// hints publishes what the folder watch and the listing find.
type hints struct {
	publish func(context.Context, ...stage.Output) error
	known   *known
	place   func(event.Dropped) stage.Output
	promise func(context.Context, document.Source) error // that a hint is stored
	sent    atomic.Int64
}

// send publishes one hint for each source, at most hintBatch, and returns when they are stored.
func (h *hints) send(ctx context.Context, now time.Time, sources []document.Source) error {
	if len(sources) == 0 {
		return nil
	}
	outputs, rounds := make([]stage.Output, len(sources)), make([]int64, len(sources))
	for i, s := range sources {
		d := event.NewDropped(s)
		outputs[i] = h.place(d)
		if rounds[i] = h.known.round(s, now); rounds[i] != 0 {
			outputs[i] = d.Output()                              // a second look waits for no quota
			outputs[i].ID += fmt.Sprintf(":again:%d", rounds[i]) // else the broker would take it for the first hint, which it knows
		}
	}
	lanes := map[string][]int{}
	for i, o := range outputs {
		lanes[o.Subject] = append(lanes[o.Subject], i)
	}
	var faults []error
	for subject, lane := range lanes { // each by itself: a lane that is full holds up no other
		of := make([]stage.Output, len(lane))
		for n, i := range lane {
			of[n] = outputs[i]
		}
		if err := h.publish(ctx, of...); err != nil {
			faults = append(faults, err)
			continue
		}
		for _, i := range lane {
			if event.TenantDropped(subject) != "" {
				if err := h.promise(ctx, sources[i]); err != nil {
					faults = append(faults, err) // the next pass drops it in again, while the broker knows its id
					continue
				}
			}
			h.known.hint(sources[i], rounds[i], now)
		}
		h.sent.Add(int64(len(lane)))
	}
	return errors.Join(faults...)
}
