package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Replay is the message that sends the drop of a dead letter through once more, as the given pass: it is a deadletter.Again. What died at
// the inbox, or shall start there, starts with a hint for ingest; everything else with planning, which leaves out what earlier passes
// did well. set changes options by name, over the drop's own. It fails when the record names no document or an option is wrong.
func Replay(r deadletter.Record, pass int, set map[string]string, fromStart bool) (stage.Output, error) {
	if r.Stage == stage.Ingest || fromStart {
		return replayDropped(r, pass, set)
	}
	j := r.Job
	if err := j.Validate(); err != nil {
		return stage.Output{}, fmt.Errorf("replay dead letter %s: %w (try to replay it from the start)", r.ID, err)
	}
	j.Pass, j.BeganAt = pass, time.Now().UTC()
	if err := change(&j.Options, set); err != nil {
		return stage.Output{}, fmt.Errorf("replay dead letter %s: %w", r.ID, err)
	}
	if len(set) > 0 {
		j = j.Identified() // other options are other work
	}
	return Ingested{Job: j}.Output(), nil
}

func replayDropped(r deadletter.Record, pass int, set map[string]string) (stage.Output, error) {
	d := NewDropped(r.Job.Source)
	if r.Stage == stage.Ingest && len(r.Cut) == 0 {
		d = Dropped{}
		if err := json.Unmarshal(r.Payload, &d); err != nil {
			return stage.Output{}, fmt.Errorf("replay dead letter %s: decode its message: %w", r.ID, err)
		}
	}
	if err := d.Validate(); err != nil {
		return stage.Output{}, fmt.Errorf("replay dead letter %s: %w", r.ID, err)
	}
	options := job.Default()
	if err := change(&options, set); err != nil { // said now to a person, rather than by ingest in a dead letter
		return stage.Output{}, fmt.Errorf("replay dead letter %s: %w", r.ID, err)
	}
	d.Pass, d.BeganAt = pass, time.Now().UTC()
	if len(set) > 0 {
		merged := maps.Clone(set)
		for name, value := range d.Set { // what an earlier replay changed stays changed
			if _, again := merged[name]; !again {
				merged[name] = value
			}
		}
		d.Set = merged
	}
	return d.Output(), nil
}

func change(o *job.Options, set map[string]string) error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(set)) {
		faults = append(faults, o.Set(name, set[name]))
	}
	return errors.Join(faults...)
}
