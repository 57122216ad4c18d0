package publisher

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/embedded"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
)

const bucket = "pdfmill"

var (
	s3   *object.S3 // one gateway a process: it changes the working directory
	root string     // of the repository, found before that
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx := context.Background()
	here, err := os.Getwd()
	check(err)
	root = filepath.Join(here, "..", "..")
	dir, err := os.MkdirTemp("", "publisher-test-")
	check(err)
	defer os.RemoveAll(dir)
	gateway, err := embedded.StartS3(ctx, embedded.S3Config{
		Dir: dir, Durability: embedded.Relaxed, Accounts: []embedded.Account{{Access: "root", Secret: "root-secret"}}, Buckets: []string{bucket}, Log: telemetry.Discard(),
	})
	check(err)
	s3, err = object.NewS3(object.Config{Endpoint: gateway.URL(), AccessKey: "root", SecretKey: "root-secret", Region: "us-east-1"})
	check(err)
	code := m.Run()
	s3.Close()
	check(gateway.Stop(ctx))
	return code
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// counting counts requests and lets a test break one kind of write.
type counting struct {
	object.Store
	requests atomic.Int64
	refuse   func(key string) bool // a write to such a key fails
	types    sync.Map              // content type by key, of what was written
}

func (c *counting) Get(ctx context.Context, bucket, key string) (io.ReadCloser, object.Info, error) {
	c.requests.Add(1)
	return c.Store.Get(ctx, bucket, key)
}

func (c *counting) Put(ctx context.Context, bucket, key string, body io.Reader, size int64, how object.Put) (object.Info, error) {
	c.requests.Add(1)
	if c.refuse != nil && c.refuse(key) {
		return object.Info{}, failure.Newf(failure.StoreUnavailable, "write", key, "the test refuses it")
	}
	c.types.Store(key, how.ContentType)
	return c.Store.Put(ctx, bucket, key, body, size, how)
}

func (c *counting) List(ctx context.Context, bucket, prefix string) iter.Seq2[object.Info, error] {
	c.requests.Add(1)
	return c.Store.List(ctx, bucket, prefix)
}

// bench is a publisher on a real broker and store.
type bench struct {
	*Service
	store *counting
	url   string // of NATS
}

func newBench(t testing.TB, c Config) *bench {
	t.Helper()
	broker, url := pipelinetest.NATS(t)
	store := &counting{Store: s3}
	s, err := New(c, lifecycle.Platform{Broker: broker, Store: store, Bucket: bucket, Version: "test", Log: telemetry.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	return &bench{Service: s, store: store, url: url}
}

var usual = Config{Concurrency: 4, Incomplete: IncompleteConverted}

// handleOne hands one message to the service.
func (b *bench) handleOne(t testing.TB, m event.Rendered) []stage.Output {
	t.Helper()
	out, err := b.handle(t.Context(), stage.Delivery[event.Rendered]{Body: m, Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func convertedOf(t testing.TB, out []stage.Output) event.Converted {
	t.Helper()
	if len(out) != 1 || out[0].Subject != event.SubjectConverted {
		t.Fatalf("outputs %+v, want one pdf.converted", out)
	}
	return out[0].Body.(event.Converted)
}

func failedOf(t testing.TB, out []stage.Output) event.Failed {
	t.Helper()
	if len(out) != 1 || out[0].Subject != event.SubjectFailed {
		t.Fatalf("outputs %+v, want one pdf.failed", out)
	}
	return out[0].Body.(event.Failed)
}

// newJob is a job nobody else has, in this run of the test or another; n tells apart those of one test.
func newJob(t testing.TB, n int) job.Job {
	t.Helper()
	salt := rand.Text()
	sha := document.Digest(salt, "a") + document.Digest(salt, "b")
	source := document.Source{Bucket: "inbox", Key: fmt.Sprintf("%s-%d.pdf", t.Name(), n), ETag: "e", Size: 100, SHA256: sha, ModTime: time.Now().UTC().Truncate(time.Second)}
	return job.New(source, job.Default(), fmt.Sprintf("order-%d", n), time.Now().Add(-time.Second))
}

func span(first, last int) pages.Range { return pages.Range{First: first, Last: last} }

// rendered is the message about a range of a document with total pages.
func rendered(j job.Job, r pages.Range, total int) event.Rendered {
	return event.Rendered{
		Job: j, Engine: "text", Range: r, Total: total, Want: pages.Set{span(1, total)}, ValidateSeconds: 0.5, QueuedSeconds: 0.25, ConvertSeconds: 1, Attempts: 1,
	}
}

// withFailed is the message about a range of which nothing came through.
func withFailed(m event.Rendered, class failure.Class) event.Rendered {
	for p := m.Range.First; p <= m.Range.Last; p++ {
		m.Failed = append(m.Failed, event.FailedPage{Page: p, Class: class, Message: "it did not work"})
	}
	m.DeadLetter = "letter-" + m.Range.Dir()
	return m
}

func resultOf(r pages.Range, say string) event.RangeResult {
	out := event.RangeResult{Range: r, Engine: "text", Version: "1.2.3", Models: map[string]string{"m": "1"}, Mode: event.ModeDefault, Seconds: 2, Images: []event.Image{}}
	for p := r.First; p <= r.Last; p++ {
		out.Pages = append(out.Pages, event.PageResult{Page: p, Status: event.PageOK, Markdown: fmt.Sprintf("# Page %d %s", p, say), Chars: 10, Seconds: 0.1})
	}
	return out
}

// put stores a result in a folder: the job's RangePrefix, or below its PassPrefix.
func put(t testing.TB, folder string, r event.RangeResult) {
	t.Helper()
	for _, i := range slices.Concat(r.Images, r.Debug) {
		if _, err := s3.Put(t.Context(), bucket, folder+i.Key, bytes.NewReader(make([]byte, i.Bytes)), i.Bytes, object.Put{ContentType: i.MediaType}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := object.PutJSON(t.Context(), s3, bucket, folder+"result.json", r, object.Put{}); err != nil {
		t.Fatal(err)
	}
}

func good(t testing.TB, j job.Job, r pages.Range, say string) {
	t.Helper()
	put(t, j.RangePrefix(r), resultOf(r, say))
}

func degraded(t testing.TB, j job.Job, r pages.Range, say string) {
	t.Helper()
	result := resultOf(r, say)
	for i := range result.Pages {
		result.Pages[i].Status = event.PageDegraded
	}
	put(t, j.PassPrefix()+"ranges/"+r.Dir()+"/", result)
}

func read(t testing.TB, key string) string {
	t.Helper()
	data, _, err := object.GetBytes(t.Context(), s3, bucket, key, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// revisions lists the numbers of the revisions a job has.
func revisions(t testing.TB, b *bench, j job.Job) []int {
	t.Helper()
	h, err := b.list(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	numbers := (&press{have: h}).manifests()
	slices.Reverse(numbers)
	return numbers
}
