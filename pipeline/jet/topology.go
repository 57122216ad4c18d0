// Package jet is the one place that knows JetStream: the topology as data, and the one loop in which a stage's messages are fetched, kept
// alive, handled, followed up, retried, buried and acknowledged.
package jet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Names of streams and KV buckets.
const (
	StreamJobs       = "PDF_JOBS"
	StreamEvents     = "PDF_EVENTS"
	StreamDead       = deadletter.Stream
	StreamAdvisories = "PDF_ADVISORIES"
	KVJobs           = "pdf_jobs"
	KVSources        = "pdf_sources"
	KVReplays        = deadletter.Replays
	KVCancels        = "pdf_cancels"
)

// Limits of the topology.
const (
	// DedupeWindow is how long the broker remembers a message id. A redelivered stage publishes the same ids again within it; later duplicates
	// are harmless, only not free.
	DedupeWindow = 10 * time.Minute
	// AckWait is how long a message of a dead process stays away. Live ones send heartbeats every AckWait/3.
	AckWait = 10 * time.Second
	// MaxDeliver is the last fence: a message delivered this often without an end kills whoever handles it.
	MaxDeliver = 8
	// MaxAckPending bounds the messages in work over all replicas of a stage.
	MaxAckPending = 4096
	// MaxQueued bounds the messages waiting on one subject. Whoever would publish one more waits with its own message in hand.
	MaxQueued = 1_000_000
	// EventsMaxAge and EventsMaxBytes bound what subscribers can catch up on.
	EventsMaxAge   = 30 * 24 * time.Hour
	EventsMaxBytes = 8 << 30
	// StatusMaxAge is how long the projection of a job is kept after its last change.
	StatusMaxAge = 30 * 24 * time.Hour
)

// Streams is the topology: every stream with its subjects and limits. Replicas 1 suits one server.
func Streams(replicas int) []jetstream.StreamConfig {
	return []jetstream.StreamConfig{
		{
			Name: StreamJobs, Description: "work in hand", Subjects: []string{event.SubjectDropped, event.SubjectIngested, "pdf.validated.*.*", event.SubjectRendered},
			Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage, Replicas: replicas,
			Duplicates: DedupeWindow, AllowAtomicPublish: true, MaxMsgsPerSubject: MaxQueued, DiscardNewPerSubject: true,
		},
		{
			Name: StreamEvents, Description: "what became of every document", Subjects: []string{event.SubjectConverted, event.SubjectFailed},
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage, Replicas: replicas,
			Duplicates: DedupeWindow, MaxAge: EventsMaxAge, MaxBytes: EventsMaxBytes,
		},
		{
			Name: StreamDead, Description: "what could not be done", Subjects: []string{deadletter.Subjects},
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage, Replicas: replicas,
			Duplicates: DedupeWindow, AllowDirect: true,
		},
		{
			Name: StreamAdvisories, Description: "messages that kill whoever handles them",
			Subjects:  []string{"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES." + StreamJobs + ".>", "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED." + StreamJobs + ".>"},
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage, Replicas: replicas,
			Duplicates: DedupeWindow, MaxAge: 7 * 24 * time.Hour,
		},
	}
}

// KeyValues is every KV bucket of the topology.
func KeyValues(replicas int) []jetstream.KeyValueConfig {
	return []jetstream.KeyValueConfig{
		{Bucket: KVJobs, Description: "where each job is: a projection, never the truth", TTL: StatusMaxAge, Replicas: replicas, History: 1},
		{Bucket: KVSources, Description: "which state of which object was taken", Replicas: replicas, History: 1},
		{Bucket: KVReplays, Description: "how far each drop was replayed", Replicas: replicas, History: 1},
		{Bucket: KVCancels, Description: "which jobs are not wanted any more", TTL: StatusMaxAge, Replicas: replicas, History: 1},
	}
}

// Apply creates or updates streams and KV buckets. It changes nothing when all is as declared.
func Apply(ctx context.Context, js jetstream.JetStream, replicas int) error {
	for _, s := range Streams(replicas) {
		if _, err := js.CreateOrUpdateStream(ctx, s); err != nil {
			return fmt.Errorf("stream %s: %w", s.Name, err)
		}
	}
	for _, kv := range KeyValues(replicas) {
		if _, err := js.CreateOrUpdateKeyValue(ctx, kv); err != nil {
			return fmt.Errorf("KV bucket %s: %w", kv.Bucket, err)
		}
	}
	return nil
}

// StageOf names the stage that works on a subject of the work queue, "" when the subject is of another stream.
func StageOf(subject string) string {
	switch subject {
	case event.SubjectDropped:
		return stage.Ingest
	case event.SubjectIngested:
		return stage.Validator
	case event.SubjectRendered:
		return stage.Publisher
	}
	if strings.HasPrefix(subject, "pdf.validated.") {
		return stage.GPURunner
	}
	return ""
}

// Durable names the consumer of a subject: its stage, and for ranges the engine and lane.
func Durable(subject string) string {
	if tail, isRange := strings.CutPrefix(subject, "pdf.validated."); isRange {
		return stage.GPURunner + "-" + strings.ReplaceAll(tail, ".", "-")
	}
	return StageOf(subject)
}

// Consumer is the pull consumer of one subject.
func Consumer(subject string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: Durable(subject), FilterSubject: subject, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: AckWait, MaxDeliver: MaxDeliver, MaxAckPending: MaxAckPending,
	}
}

// Lanes in which ranges wait, most urgent first.
func Lanes() []string { return []string{job.LaneInteractive, job.LaneBulk, job.LaneSuspect} }

// missing says that a part of the topology is not there.
func missing(what string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBucketNotFound) {
		return fmt.Errorf("%s does not exist on this server (create it with: pdfmill topology apply): %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
