package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

func TestAPutBecomesAJob(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	s, _ := b.start()
	b.put("reports/q3.pdf", "%PDF-1.7 one", map[string]string{
		"pdfmill-engine": "text", "pdfmill-pages": "1-3", "pdfmill-priority": "interactive", "pdfmill-correlation-id": "order-17", "colour": "blue",
	})
	m := b.await(s, 1)[0]
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
	if m.Source.Path() != b.bucket+"/reports/q3.pdf" || m.Source.SHA256 != sha("%PDF-1.7 one") || m.Source.Size != 12 || m.Source.ETag == "" || m.Source.ModTime.IsZero() {
		t.Errorf("source %+v", m.Source)
	}
	if m.Options.Engine != job.EngineText || m.Options.Priority != job.LaneInteractive || m.Options.Pages.String() != "1-3" || m.CorrelationID != "order-17" {
		t.Errorf("job %+v", m.Job)
	}
	if got := b.kept(m); got != "%PDF-1.7 one" {
		t.Errorf("kept %q", got)
	}
	if t1 := b.taken("reports/q3.pdf"); t1.Job != m.ID || t1.Source != m.Source {
		t.Errorf("noted %+v, published %+v", t1, m)
	}
	if left, err := filepath.Glob(filepath.Join(b.config.Scratch, "*")); err != nil || len(left) > 0 {
		t.Errorf("scratch files left behind: %v, %v", left, err)
	}
}

func TestAnEmptyFileGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	s, _ := b.start()
	b.put("empty.pdf", "", nil)
	if m := b.await(s, 1)[0]; m.Source.SHA256 != sha("") || m.Source.Size != 0 || b.kept(m) != "" {
		t.Errorf("source %+v", m.Source)
	}
}

func TestTheSameKeyAHundredTimesAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	s, _ := b.start()
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() { b.put("same.pdf", "the same", nil) })
	}
	group.Wait()
	pipelinetest.Eventually(t, "it is ingested", func() bool { return len(b.ingested()) > 0 })
	b.quiet(s)
	// Each second in which it was written is a state of its own.
	all := b.ingested()
	seconds := map[time.Time]bool{}
	for _, m := range all {
		if seconds[m.Source.ModTime] || m.ID != all[0].ID {
			t.Errorf("ingested twice: %+v", m.Source)
		}
		seconds[m.Source.ModTime] = true
	}
	t.Logf("100 puts, %d drops", len(all))
}

func TestTheSameContentUnderManyKeysIsOneDropEach(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	s, _ := b.start()
	const n = 20
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { b.put(fmt.Sprintf("copy-%02d.pdf", i), "identical", nil) })
	}
	group.Wait()
	drops := map[string]bool{}
	for _, m := range b.await(s, n) {
		if drops[m.Drop] || m.Source.SHA256 != sha("identical") {
			t.Errorf("job %+v", m.Job)
		}
		drops[m.Drop] = true
	}
}

func TestOverwritingIsANewDrop(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	s, _ := b.start()
	b.put("a.pdf", "first", nil)
	b.await(s, 1)
	b.put("a.pdf", "other", nil) // as long as the first, and perhaps in the same second
	all := b.await(s, 2)
	if all[0].Source.SHA256 != sha("first") || all[1].Source.SHA256 != sha("other") || all[0].Drop == all[1].Drop {
		t.Errorf("ingested %+v and %+v", all[0].Source, all[1].Source)
	}
}

func TestHostileKeys(t *testing.T) {
	t.Parallel()
	names := []string{
		"a b.pdf", "ü-é-e\u0301-漢字.pdf", "100%.pdf", "%41.pdf", "a+b.pdf", "a%2Fb.pdf", "..pdf.pdf/x.pdf", "dots...pdf", "new\nline.pdf", "q&<>\"'`$(x);.pdf",
		"back\\slash.pdf", "tab\t.pdf", "-rf.pdf", "*.pdf", "?x=1#frag.pdf", "deep/er/and deeper/x.pdf", strings.Repeat("n", 200) + ".pdf",
	}
	b := newBench(t).announcing()
	s, _ := b.start()
	want := map[string]bool{}
	for _, name := range names {
		b.put("put/"+name, "put "+name, nil)
		want["put/"+name] = true
		if !strings.HasPrefix(name, ".") { // hidden, as a file
			b.write("copied/"+name, "copied "+name)
			want["copied/"+name] = true
		}
	}
	for _, m := range b.await(s, len(want)) {
		kind, name, _ := strings.Cut(m.Source.Key, "/")
		if !want[m.Source.Key] || b.kept(m) != kind+" "+name {
			t.Errorf("key %q with %q", m.Source.Key, b.kept(m))
		}
		delete(want, m.Source.Key)
	}
	if len(want) > 0 || len(b.failed()) > 0 {
		t.Errorf("not ingested: %v; failed %+v", want, b.failed())
	}
}

// Who can publish hints can name any key: none leads out of the folder.
func TestKeysThatLeadElsewhere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.service()
	b.write("in.pdf", "inside")
	outside := filepath.Join(t.TempDir(), "outside.pdf")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(b.dir, "link.pdf")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(b.dir, "linked")); err != nil {
		t.Fatal(err)
	}
	rel, err := filepath.Rel(b.dir, outside)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"link.pdf", "linked/outside.pdf", rel, "../" + b.bucket + "/in.pdf", "x/../in.pdf", outside, "/in.pdf", "./in.pdf", "a\x00b.pdf", "..", "."} {
		source := document.Source{Bucket: b.bucket, Key: key, Size: 6, ModTime: time.Now()}
		if err := b.handle(s, event.NewDropped(source)); !failure.Permanent(err) {
			t.Errorf("key %q: %v", key, err)
		}
	}
	if all := b.ingested(); len(all) > 0 {
		t.Errorf("ingested %s", keys(all))
	}
	other := event.NewDropped(document.Source{Bucket: lifecycle.DefaultBucket, Key: "source/x.pdf"})
	if err := b.handle(s, other); failure.ClassOf(err, "") != failure.InvalidMessage || !strings.Contains(err.Error(), "is not an inbox") {
		t.Errorf("a hint about pdfmill's own bucket: %v", err)
	}
}

func TestAReplayIsTakenAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.service()
	b.put("a.pdf", "x", map[string]string{"pdfmill-engine": "text"})
	d := b.hint("a.pdf")
	for range 2 {
		if err := b.handle(s, d); err != nil {
			t.Fatal(err)
		}
	}
	d.Pass, d.Set = 1, map[string]string{"engine": "marker"}
	if err := b.handle(s, d); err != nil {
		t.Fatal(err)
	}
	all := b.ingested()
	if len(all) != 2 || all[0].Pass != 0 || all[1].Pass != 1 || all[1].Options.Engine != "marker" || all[0].Drop != all[1].Drop {
		t.Errorf("ingested %+v", all)
	}
}

// breaking fails the first notes.
type breaking struct {
	Sources
	left int
}

func (b *breaking) Put(ctx context.Context, t jet.Taken) error {
	if b.left--; b.left >= 0 {
		return errors.New("the test refuses it")
	}
	return b.Sources.Put(ctx, t)
}

func TestDyingBetweenPublishAndNote(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.put("a.pdf", "x", nil)
	d := b.hint("a.pdf")
	first := b.service()
	first.sources = &breaking{first.sources, 2} // also the note that it failed
	if err := b.handle(first, d); failure.Permanent(err) || failure.ClassOf(err, "") != failure.StoreUnavailable {
		t.Fatalf("got %v, want a transient failure", err)
	}
	if len(b.ingested()) != 1 {
		t.Fatal("it was not published before the note")
	}
	if err := b.handle(b.service(), d); err != nil {
		t.Fatal(err)
	}
	if all := b.ingested(); len(all) != 1 || b.taken("a.pdf").Job != all[0].ID {
		t.Errorf("ingested %s, noted %+v", keys(all), b.taken("a.pdf"))
	}
}

// meddling changes an object after its bytes were read.
type meddling struct {
	object.Store
	meddle func()
}

type meddled struct {
	io.ReadCloser
	meddle func()
}

func (m *meddling) Get(ctx context.Context, bucket, key string) (io.ReadCloser, object.Info, error) {
	body, info, err := m.Store.Get(ctx, bucket, key)
	return &meddled{body, m.meddle}, info, err
}

func (m *meddled) Close() error {
	err := m.ReadCloser.Close()
	m.meddle()
	return err
}

// asked counts requests to the store by what they are.
type asked struct {
	object.Store
	said string
}

func (a *asked) Stat(ctx context.Context, bucket, key string) (object.Info, error) {
	a.said += "stat "
	return a.Store.Stat(ctx, bucket, key)
}

func (a *asked) Get(ctx context.Context, bucket, key string) (io.ReadCloser, object.Info, error) {
	a.said += "get "
	return a.Store.Get(ctx, bucket, key)
}

func (a *asked) Put(ctx context.Context, bucket, key string, body io.Reader, size int64, how object.Put) (object.Info, error) {
	a.said += "put "
	return a.Store.Put(ctx, bucket, key, body, size, how)
}

// TestRequestsOfADocument: a new one is read once and written once; of what is there already no second copy is written.
func TestRequestsOfADocument(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	content := "the only one of " + t.Name()
	for i, want := range []string{"get put ", "get put stat stat "} {
		key := fmt.Sprintf("%d.pdf", i)
		b.put(key, content, nil)
		counted := &asked{Store: store}
		b.store = counted
		if err := b.handle(b.service(), b.hint(key)); err != nil {
			t.Fatal(err)
		}
		if counted.said != want {
			t.Errorf("%s: %s, want %s", key, counted.said, want)
		}
	}
}

func TestAChangeWhileReadingIsTransient(t *testing.T) {
	t.Parallel()
	for name, meddle := range map[string]func(b *bench){
		"overwritten through the gateway": func(b *bench) { b.put("a.pdf", "later", nil) },
		"overwritten in place":            func(b *bench) { b.write("a.pdf", "longer than before") },
		"deleted":                         func(b *bench) { _ = os.Remove(filepath.Join(b.dir, "a.pdf")) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.put("a.pdf", "first", nil)
			d := b.hint("a.pdf")
			b.store = &meddling{store, func() { meddle(b) }}
			if err := b.handle(b.service(), d); failure.ClassOf(err, "") != failure.Unhealthy || failure.Permanent(err) {
				t.Errorf("got %v, want a transient failure", err)
			}
			if all := b.ingested(); len(all) > 0 {
				t.Errorf("ingested %s", keys(all))
			}
		})
	}
}

func TestNoRoomForScratchIsTransient(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.put("a.pdf", strings.Repeat("more than a spool holds in memory", 10_000), nil)
	s := b.service()
	if err := os.RemoveAll(b.config.Scratch); err != nil {
		t.Fatal(err)
	}
	if err := b.handle(s, b.hint("a.pdf")); failure.ClassOf(err, "") != failure.StoreUnavailable || !strings.Contains(err.Error(), "--ingest-scratch") {
		t.Errorf("got %v", err)
	}
}

func TestARestartTakesNothingTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	s, stop := b.start()
	const n = 10
	for i := range n {
		b.put(fmt.Sprintf("put-%d.pdf", i), fmt.Sprint("put ", i), nil)
		b.write(fmt.Sprintf("copied-%d.pdf", i), fmt.Sprint("copied ", i))
	}
	before := b.await(s, 2*n)
	pipelinetest.Eventually(t, "every second look was taken", func() bool {
		for _, m := range before {
			if b.taken(m.Source.Key).Racy {
				return false
			}
		}
		return true
	})
	stop()
	for _, directories := range []map[string]string{b.config.Directories, nil} { // the folder is read, the bucket is listed
		b.config.Directories = maps.Clone(directories)
		again, stopAgain := b.start()
		b.await(again, 2*n)
		if sent := again.hints.sent.Load(); sent != 0 {
			t.Errorf("%d hints after a restart", sent)
		}
		stopAgain()
	}
}

func TestMistakesInTheConfigAreNamed(t *testing.T) {
	t.Parallel()
	ok := newBench(t).config
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no inbox":            {func(c *Config) { c.Inbox = nil }, "at least one bucket"},
		"own bucket":          {func(c *Config) { c.Inbox = append(c.Inbox, lifecycle.DefaultBucket) }, "own bucket"},
		"scanning all day":    {func(c *Config) { c.ScanInterval = time.Millisecond }, "scan-interval"},
		"no bytes":            {func(c *Config) { c.MaxBytes = 0 }, "ingest-max-bytes"},
		"nobody to work":      {func(c *Config) { c.Concurrency = 0 }, "ingest-concurrency"},
		"folder of no inbox":  {func(c *Config) { c.Directories = map[string]string{"other": "/x"} }, `"other"`},
		"relative folder":     {func(c *Config) { c.Directories = map[string]string{c.Inbox[0]: "x"} }, "not an absolute path"},
		"scratch on no place": {func(c *Config) { c.Scratch = "/dev/null/x" }, "--ingest-scratch"},
	} {
		t.Run(name, func(t *testing.T) {
			config := ok
			c.change(&config)
			if _, err := New(config, lifecycle.Platform{Log: newBench(t).service().log}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something about %q", err, c.want)
			}
		})
	}
}

// TestASourceSweptInTheInstantOfItsNextDrop: a sweep that looked into the queue before the hint was there deletes the source that ingest has just found. Ingest
// waits for its end, and writes the source anew.
func TestASourceSweptInTheInstantOfItsNextDrop(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.service()
	content := "swept " + b.bucket // a source of its own: the tests share a gateway
	b.put("a.pdf", content, nil)
	if err := b.handle(s, b.hint("a.pdf")); err != nil {
		t.Fatal(err)
	}
	source := b.ingested()[0].Source.ObjectKey()
	b.put("again.pdf", content, nil)
	d := b.hint("again.pdf")
	s.sweepPatience = 0
	if err := b.broker.Alone(t.Context(), jet.SourcesLease, func(ctx context.Context, _ func() bool) error {
		if err := b.handle(s, d); failure.ClassOf(err, "") != failure.StoreUnavailable || failure.Permanent(err) {
			t.Errorf("the source is relied upon while it is swept: %v", err)
		}
		return store.Delete(ctx, lifecycle.DefaultBucket, source)
	}); err != nil {
		t.Fatal(err)
	}
	if err := b.handle(s, d); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Stat(t.Context(), lifecycle.DefaultBucket, source); err != nil || len(b.ingested()) != 2 {
		t.Errorf("%d documents are accepted, and the source: %v", len(b.ingested()), err)
	}
}
