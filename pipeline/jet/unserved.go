package jet

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Unserved counts, by subject, the ranges that wait where nobody takes any: no gpu-runner serves the engine, or has the labels that they need. They stay until one
// does, or their job is cancelled.
func (b *Broker) Unserved(ctx context.Context) (map[string]uint64, error) {
	stream, err := b.js.Stream(ctx, StreamJobs)
	if err != nil {
		return nil, missing("stream "+StreamJobs, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(subjectsValidated))
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", StreamJobs, err)
	}
	waiting := info.State.Subjects
	if len(waiting) == 0 {
		return nil, nil
	}
	consumers := stream.ListConsumers(ctx)
	for info := range consumers.Info() {
		if StageOf(info.Config.FilterSubject) == stage.GPURunner && served(info) {
			delete(waiting, info.Config.FilterSubject)
		}
	}
	if err := consumers.Err(); err != nil {
		return nil, fmt.Errorf("list consumers of %s: %w", StreamJobs, err)
	}
	return waiting, nil
}

// served says whether somebody takes what waits for a consumer: has some in work, or asks for more.
func served(info *jetstream.ConsumerInfo) bool { return info.NumAckPending > 0 || info.NumWaiting > 0 }
