package retention

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// dated is a store in memory that gives every object the age it is told: a real store does not let anybody write into the past.
type dated struct {
	mu      sync.Mutex
	objects map[string]time.Time
	listed  func()           // called after each listing
	deletes func(key string) // called before each deletion; may be nil
}

func (d *dated) put(key string, age time.Duration) { d.objects[key] = time.Now().Add(-age) }

func (d *dated) keys() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.objects))
}

func (d *dated) Stat(_ context.Context, bucket, key string) (object.Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.objects[key]
	if !ok {
		return object.Info{}, object.ErrNotFound
	}
	return object.Info{Bucket: bucket, Key: key, Size: 7, ModTime: at}, nil
}

func (d *dated) Get(context.Context, string, string) (io.ReadCloser, object.Info, error) {
	return nil, object.Info{}, object.ErrNotFound
}

func (d *dated) Put(_ context.Context, _, key string, _ io.Reader, _ int64, _ object.Put) (object.Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.objects[key] = time.Now()
	return object.Info{}, nil
}

func (d *dated) List(ctx context.Context, bucket, prefix string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		for _, key := range d.keys() {
			if info, err := d.Stat(ctx, bucket, key); err == nil && strings.HasPrefix(key, prefix) && !yield(info, nil) {
				return
			}
		}
		if d.listed != nil {
			d.listed()
		}
	}
}

func (d *dated) Delete(_ context.Context, _, key string) error {
	if d.deletes != nil {
		d.deletes(key)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.objects, key)
	return nil
}

func testJob(n int) job.Job {
	source := document.Source{Bucket: "inbox", Key: fmt.Sprintf("%d.pdf", n), Size: 7, SHA256: fmt.Sprintf("%064x", n)}
	return job.New(source, job.Default(), "", time.Now())
}

func config() Config {
	return Config{Bucket: "pdfmill", RangesAge: 2 * time.Hour, SourcesAge: 3 * time.Hour, minAge: MinAge}
}

func publish(t *testing.T, b *jet.Broker, m event.Ingested) {
	t.Helper()
	if err := b.Publish(t.Context(), m.Output()); err != nil {
		t.Fatal(err)
	}
}

func box(t *testing.T, b *jet.Broker) *deadletter.Box {
	t.Helper()
	box, err := deadletter.NewBox(t.Context(), b.JS())
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// TestSweepKeepsWhatIsNeeded: age alone takes nothing away; products never go.
func TestSweepKeepsWhatIsNeeded(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	old, young, queued, dead, dropped := testJob(1), testJob(2), testJob(3).For("acme"), testJob(4).For("bolt"), testJob(5)
	dropped.Source.Size = 8
	store := &dated{objects: map[string]time.Time{}}
	r := pages.Range{First: 1, Last: 2}
	for _, j := range []job.Job{old, young, queued, dead} {
		age := 5 * time.Hour
		if j.ID == young.ID {
			age = time.Hour
		}
		store.put(j.RangePrefix(r)+"result.json", age)
		store.put(j.PassPrefix()+"failed/0003-0003.json", age)
		store.put(j.RevisionPrefix(1)+"document.md", age)
		store.put(j.Source.ObjectKey(), age)
	}
	publish(t, b, event.Ingested{Job: queued})
	record := deadletter.Record{ID: "d", Stage: "validator", Class: "timeout", Job: dead, DiedAt: time.Now(), Payload: []byte("{}")}
	if _, err := deadletter.Publish(t.Context(), b.JS(), record); err != nil {
		t.Fatal(err)
	}
	all := store.keys()
	c := config()
	c.DryRun = true
	dry, err := Sweep(t.Context(), store, b, box(t, b), c)
	if err != nil || len(store.keys()) != len(all) {
		t.Fatalf("a dry run removed something: %v", err)
	}
	c.DryRun = false
	report, err := Sweep(t.Context(), store, b, box(t, b), c)
	if err != nil || report != dry || report.Jobs != 2 || report.Sources != 1 || report.Live != 3 {
		t.Fatalf("report %+v, dry %+v, %v", report, dry, err)
	}
	gone := slices.DeleteFunc(all, func(key string) bool { return slices.Contains(store.keys(), key) })
	want := []string{
		old.PassPrefix() + "failed/0003-0003.json", old.RangePrefix(r) + "result.json", old.Source.ObjectKey(),
		dead.PassPrefix() + "failed/0003-0003.json", dead.RangePrefix(r) + "result.json",
	}
	slices.Sort(want)
	if !slices.Equal(gone, want) {
		t.Errorf("gone:\n%s\nwant:\n%s", strings.Join(gone, "\n"), strings.Join(want, "\n"))
	}
	for _, key := range store.keys() {
		if strings.Contains(key, "swept") && !strings.HasPrefix(key, queued.Prefix()) {
			t.Errorf("mark %s is left behind", key)
		}
	}
	if _, err := Sweep(t.Context(), store, b, box(t, b), Config{RangesAge: time.Minute}); err == nil {
		t.Error("an age below the least is taken")
	}
}

// TestAJobThatBeginsDuringASweep: whatever the moment, either the sweep sees the job, or the job sees the mark.
func TestAJobThatBeginsDuringASweep(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	j := testJob(1)
	r := pages.Range{First: 1, Last: 2}
	store := &dated{objects: map[string]time.Time{}}
	store.put(j.RangePrefix(r)+"result.json", 5*time.Hour)
	planned := false
	store.listed = func() { // after the sweep has decided that the job is old, before it marks it
		if !planned {
			planned = true
			publish(t, b, event.Ingested{Job: j})
		}
	}
	report, err := Sweep(t.Context(), store, b, box(t, b), config())
	if err != nil || report.Jobs != 0 || report.Live != 1 {
		t.Fatalf("report %+v, %v", report, err)
	}
	if _, err := store.Stat(t.Context(), "", j.RangePrefix(r)+"result.json"); err != nil {
		t.Error("the result that the new pass relies on is gone")
	}
	marked := slices.ContainsFunc(store.keys(), func(key string) bool {
		generation, ok := job.ParseSweepMark(strings.TrimPrefix(key, j.Prefix()+"ranges/"))
		return ok && generation > 0
	})
	if !marked {
		t.Error("no mark for passes planned from now on")
	}
}

// TestSourcesAreSweptAlone: while a source goes, everybody can know; and a holder that is no longer sure takes nothing.
func TestSourcesAreSweptAlone(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	held := func() bool {
		t.Helper()
		held, err := b.Held(t.Context(), jet.SourcesLease)
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	store := &dated{objects: map[string]time.Time{}}
	store.put(testJob(1).Source.ObjectKey(), 5*time.Hour)
	store.deletes = func(key string) {
		if !held() {
			t.Errorf("%s goes, and nobody can know", key)
		}
	}
	report, err := Sweep(t.Context(), store, b, box(t, b), config())
	if err != nil || report.Sources != 1 || held() {
		t.Fatalf("report %+v, %v; held: %t", report, err, held())
	}
	store.put(testJob(1).Source.ObjectKey(), 5*time.Hour)
	if report, err = Sweep(t.Context(), store, frozen{b}, box(t, b), config()); err == nil || report.Sources != 0 || len(store.keys()) != 1 {
		t.Errorf("a sweep that lost its lease took %+v, %v", report, err)
	}
}

// frozen is a broker in whose process time stood still until the lease was another's.
type frozen struct{ Broker }

func (f frozen) Alone(ctx context.Context, _ string, do func(context.Context, func() bool) error) error {
	return do(ctx, func() bool { return false })
}
