package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/embedded"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// There is one gateway a process, so each test gets an inbox of its own on it.
const inboxes = 400

var (
	gateway   *embedded.S3
	store     *object.S3
	nextInbox atomic.Int64
	announced sync.Map // of *jet.Broker by bucket: who hears of puts through the gateway
)

func TestMain(m *testing.M) {
	flag.Parse()
	// These tests mostly wait: for files to be stable, for a second look. Eight do so at once.
	check(flag.Set("test.parallel", "8"))
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "ingest-test-")
	check(err)
	defer os.RemoveAll(dir)
	var buckets []string
	for i := range inboxes {
		buckets = append(buckets, inboxName(i))
	}
	gateway, err = embedded.StartS3(ctx, embedded.S3Config{
		Dir: dir, Durability: embedded.Relaxed, Accounts: []embedded.Account{{Access: "root", Secret: "root-secret"}},
		Buckets: append(buckets, lifecycle.DefaultBucket), AnnounceBuckets: buckets, Announce: announce,
	})
	check(err)
	store, err = object.NewS3(object.Config{Endpoint: gateway.URL(), AccessKey: "root", SecretKey: "root-secret", Region: "us-east-1"})
	check(err)
	code := m.Run()
	store.Close()
	check(gateway.Stop(ctx))
	return code
}

func inboxName(i int) string { return fmt.Sprintf("inbox-%03d", i) }

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func announce(ctx context.Context, p embedded.Put) error {
	b, ok := announced.Load(p.Bucket)
	if !ok {
		return nil
	}
	return b.(*jet.Broker).Publish(ctx, event.NewDropped(document.Source{
		Bucket: p.Bucket, Key: p.Key, ETag: p.ETag, Size: p.Size, ModTime: p.ModTime.UTC().Truncate(time.Second),
	}).With(p.Metadata).Output())
}

// bench is a broker, an inbox of its own and a client for it; services come and go on it.
type bench struct {
	t      testing.TB
	bucket string
	dir    string // that is the bucket
	broker *jet.Broker
	client *minio.Client
	logs   *logged
	config Config
	store  object.Store
	now    func() time.Time // nil: the time of day
}

func newBench(t testing.TB) *bench {
	t.Helper()
	n := int(nextInbox.Add(1)) - 1
	if n >= inboxes {
		t.Fatalf("the tests use more than %d inboxes", inboxes)
	}
	broker, _ := pipelinetest.NATS(t)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := minio.New(strings.TrimPrefix(gateway.URL(), "http://"), &minio.Options{
		Creds: credentials.NewStaticV4("root", "root-secret", ""), Transport: transport, Region: "us-east-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	bucket := inboxName(n)
	b := &bench{t: t, bucket: bucket, dir: gateway.BucketDir(bucket), broker: broker, client: client, logs: &logged{}, store: store}
	b.config = Config{
		Inbox: []string{bucket}, ScanInterval: MinScanInterval, MaxBytes: 1 << 30, Concurrency: 4, Ahead: 1 << 30, Scratch: t.TempDir(),
		Directories: map[string]string{bucket: b.dir},
	}
	return b
}

// announcing has puts through the gateway announced, as in the all-in-one.
func (b *bench) announcing() *bench {
	announced.Store(b.bucket, b.broker)
	b.t.Cleanup(func() { announced.Delete(b.bucket) })
	return b
}

// service is one that does not run.
func (b *bench) service() *Service {
	b.t.Helper()
	s, err := New(b.config, lifecycle.Platform{
		Broker: b.broker, Store: b.store, Version: "test",
		Log: slog.New(slog.NewTextHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if b.now != nil {
		s.now = b.now
	}
	return s
}

// start runs a service until stop is called or the test ends.
func (b *bench) start() (s *Service, stop func()) {
	b.t.Helper()
	s = b.service()
	return s, b.run(s)
}

func (b *bench) run(s *Service) (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("ingest ended: %v", err)
		}
	})
	b.t.Cleanup(stop)
	pipelinetest.Eventually(b.t, "ingest is ready", func() bool { return s.Ready() == nil })
	return stop
}

// handle hands one hint to a service that does not run.
func (b *bench) handle(s *Service, d event.Dropped) error {
	_, err := s.handle(b.t.Context(), stage.Delivery[event.Dropped]{Body: d, Attempt: 1})
	return err
}

// hint is a hint about an object as it is.
func (b *bench) hint(key string) event.Dropped {
	b.t.Helper()
	info, err := store.Stat(b.t.Context(), b.bucket, key)
	if err != nil {
		b.t.Fatal(err)
	}
	return event.NewDropped(sourceOf(info))
}

func (b *bench) put(key, content string, metadata map[string]string) {
	b.t.Helper()
	_, err := b.client.PutObject(b.t.Context(), b.bucket, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{UserMetadata: metadata})
	if err != nil {
		b.t.Fatalf("put %q: %v", key, err)
	}
}

// write puts a file into the folder, with its folders.
func (b *bench) write(key, content string) string {
	b.t.Helper()
	at := filepath.Join(b.dir, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return at
}

// messages reads what a stream holds on a subject.
func messages[B any](b *bench, stream, subject string) []B {
	b.t.Helper()
	s, err := b.broker.JS().Stream(b.t.Context(), stream)
	if err != nil {
		b.t.Fatal(err)
	}
	var all []B
	for seq := uint64(1); ; {
		msg, err := s.GetMsg(b.t.Context(), seq, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all
		}
		if err != nil {
			b.t.Fatal(err)
		}
		var body B
		if err := json.Unmarshal(msg.Data, &body); err != nil {
			b.t.Fatal(err)
		}
		all, seq = append(all, body), msg.Sequence+1
	}
}

func (b *bench) ingested() []event.Ingested {
	b.t.Helper()
	return messages[event.Ingested](b, jet.StreamJobs, event.SubjectIngested)
}

func (b *bench) failed() []event.Failed {
	b.t.Helper()
	return messages[event.Failed](b, jet.StreamEvents, event.SubjectFailed)
}

func (b *bench) dropped() int {
	b.t.Helper()
	return len(messages[event.Dropped](b, jet.StreamJobs, event.SubjectDropped)) + len(messages[event.Dropped](b, jet.StreamJobs, event.SubjectDropped+".*"))
}

// await waits until n documents were handed on, and checks that they are not more when all is quiet.
func (b *bench) await(s *Service, n int) []event.Ingested {
	b.t.Helper()
	pipelinetest.Eventually(b.t, fmt.Sprintf("%d documents are ingested", n), func() bool { return len(b.ingested()) >= n })
	b.quiet(s)
	all := b.ingested()
	if len(all) != n {
		b.t.Fatalf("%d documents were ingested, want %d: %s", len(all), n, keys(all))
	}
	return all
}

// quiet waits until two more passes have found nothing that is left to do.
func (b *bench) quiet(s *Service) {
	b.t.Helper()
	until := int64(-1)
	pipelinetest.Eventually(b.t, "nothing is left to do", func() bool {
		if s.waiting.Load() > 0 || b.dropped() > 0 {
			until = -1
			return false
		}
		if until < 0 {
			until = s.scans.Load() + 2
		}
		return s.scans.Load() >= until
	})
}

func keys(all []event.Ingested) string {
	var names []string
	for _, m := range all {
		names = append(names, fmt.Sprintf("%q", m.Source.Key))
	}
	return strings.Join(names, " ")
}

func (b *bench) taken(key string) jet.Taken {
	b.t.Helper()
	t, found, err := jet.NewSources(b.broker).Get(b.t.Context(), document.Source{Bucket: b.bucket, Key: key})
	if err != nil || !found {
		b.t.Fatalf("what was taken as %q: found %v, %v", key, found, err)
	}
	return t
}

// kept is what pdfmill keeps of a document.
func (b *bench) kept(m event.Ingested) string {
	b.t.Helper()
	data, _, err := object.GetBytes(b.t.Context(), store, lifecycle.DefaultBucket, m.Source.ObjectKey(), 1<<20)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(data)
}

func sha(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// logged collects log lines.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
