// Package jet is the one place that knows JetStream: the topology as data, and the one loop in which a stage's messages are fetched, kept
// alive, handled, followed up, retried, buried and acknowledged.
package jet

import (
	"errors"
	"fmt"
	"strconv"
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
	KVEnds           = "pdf_ends"
	KVLeases         = "pdf_leases"
	KVPeaks          = "pdf_peaks"
	KVTenants        = "pdf_tenants"
	KVUsage          = "pdf_usage"
)

// subjectsValidated is all on which ranges wait.
const subjectsValidated = "pdf.validated.*.*"

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
	// UsageMaxAge is how long it is known what counted for a tenant. What comes again later would count again.
	UsageMaxAge = 40 * 24 * time.Hour
)

// TopologyVersion is raised with every change of what is declared here. It is written on StreamJobs, which is made last: who finds it there finds the rest.
const TopologyVersion = 4

// versionKey of StreamJobs' metadata.
const versionKey = "pdfmill-topology"

// Streams is the topology: every stream with its subjects and limits. Replicas 1 suits one server.
func Streams(replicas int) []jetstream.StreamConfig {
	return []jetstream.StreamConfig{
		{
			Name: StreamJobs, Description: "work in hand", Metadata: map[string]string{versionKey: strconv.Itoa(TopologyVersion)},
			Subjects:  []string{event.SubjectDropped, event.SubjectDropped + ".*", event.SubjectIngested, subjectsValidated, event.SubjectRendered},
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
		{Bucket: KVLeases, Description: "who does what only one needs to do", TTL: LeaseTTL, Replicas: replicas, History: 1},
		{Bucket: KVEnds, Description: "which jobs are not wanted any more, and which passes a dead letter ended", TTL: StatusMaxAge, Replicas: replicas, History: 1},
		{Bucket: KVPeaks, Description: "how much memory conversions were seen to use", Replicas: replicas, History: 1},
		{Bucket: KVTenants, Description: "whose sources are whose, and their quotas", Replicas: replicas, History: 1},
		{Bucket: KVUsage, Description: "what tenants have used on each day, and what counted", TTL: UsageMaxAge, Replicas: replicas, History: 1},
	}
}

// StageOf names the stage that works on a subject of the work queue, "" when the subject is of another stream.
func StageOf(subject string) string {
	switch {
	case event.IsDropped(subject):
		return stage.Ingest
	case subject == event.SubjectIngested:
		return stage.Validator
	case subject == event.SubjectRendered:
		return stage.Publisher
	case strings.HasPrefix(subject, "pdf.validated."):
		return stage.GPURunner
	}
	return ""
}

// Durable names the consumer of a subject: its stage, and for ranges the engine and lane, for drops the lane.
func Durable(subject string) string {
	if tail, isRange := strings.CutPrefix(subject, "pdf.validated."); isRange {
		return stage.GPURunner + "-" + strings.ReplaceAll(tail, ".", "-")
	}
	if lane, inLane := strings.CutPrefix(subject, event.SubjectDropped+"."); inLane {
		return stage.Ingest + "-" + lane
	}
	return StageOf(subject)
}

// QueueName is what people call the queue of a consumer: lanes of drops are one queue to them.
func QueueName(durable string) string {
	if strings.HasPrefix(durable, stage.Ingest+"-") {
		return stage.Ingest
	}
	return durable
}

// Consumer is the pull consumer of one subject.
func Consumer(subject string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: Durable(subject), FilterSubject: subject, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: AckWait, MaxDeliver: MaxDeliver, MaxAckPending: MaxAckPending,
	}
}

// crashLoops is the consumer by which messages that kill their handlers are found.
func crashLoops() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{Durable: "crash-loops", AckPolicy: jetstream.AckExplicitPolicy, AckWait: AckWait, MaxDeliver: -1}
}

// workSubjects is every subject of the work queue that a stage consumes.
func (t Topology) workSubjects() []string {
	all := append(t.dropSubjects(), event.SubjectIngested, event.SubjectRendered)
	for _, engine := range t.Engines {
		for _, lane := range Lanes() {
			all = append(all, event.SubjectValidated(engine, lane))
		}
	}
	return all
}

// dropSubjects is every subject on which drops wait.
func (t Topology) dropSubjects() []string {
	all := event.SubjectsDropped()
	for _, name := range t.Tenants.Names() {
		all = append(all, event.SubjectDroppedOf(name))
	}
	return all
}

// keyValueStream is the stream that a KV bucket is.
func keyValueStream(kv jetstream.KeyValueConfig) jetstream.StreamConfig {
	const window = 2 * time.Minute
	s := jetstream.StreamConfig{
		Name: "KV_" + kv.Bucket, Description: kv.Description, Subjects: []string{"$KV." + kv.Bucket + ".>"},
		MaxMsgsPerSubject: int64(kv.History), MaxBytes: kv.MaxBytes, MaxAge: kv.TTL, Storage: kv.Storage, Replicas: kv.Replicas, Discard: jetstream.DiscardNew,
		AllowRollup: true, DenyDelete: true, AllowDirect: true, Duplicates: window,
	}
	if kv.TTL > 0 {
		s.Duplicates = min(window, kv.TTL)
	}
	if kv.LimitMarkerTTL > 0 {
		s.AllowMsgTTL, s.SubjectDeleteMarkerTTL = true, kv.LimitMarkerTTL
	}
	if kv.Bucket == KVUsage { // a thing and the sum that it is in are written together, and read from where they were written
		s.AllowAtomicPublish, s.AllowDirect = true, false
	}
	return s
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
