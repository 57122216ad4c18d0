package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// calendar is a clock whose days a test turns over.
type calendar struct{ days atomic.Int64 }

func (c *calendar) now() time.Time {
	return time.Now().Add(time.Duration(c.days.Load()) * 24 * time.Hour)
}

// tenancies declares the tenants acme and bolt, each a folder of the inbox.
func (b *bench) tenancies(acme tenant.Tenant) *calendar {
	b.t.Helper()
	acme.Name, acme.Source = "acme", b.bucket+"/acme/"
	if err := b.broker.SetTenants(b.t.Context(), tenant.Set{acme, {Name: "bolt", Source: b.bucket + "/bolt/"}}, 1); err != nil {
		b.t.Fatal(err)
	}
	days := &calendar{}
	b.now = days.now
	return days
}

// folder drops n documents into a folder of the inbox.
func (b *bench) folder(name string, n int) {
	b.t.Helper()
	for i := range n {
		b.put(fmt.Sprintf("%s/%02d.pdf", name, i), fmt.Sprintf("%s %d", name, i), nil)
	}
}

// takenOf counts what was handed on, by folder.
func (b *bench) takenOf() map[string]int {
	b.t.Helper()
	count := map[string]int{}
	for _, m := range b.ingested() {
		folder, _, _ := strings.Cut(m.Source.Key, "/")
		count[folder]++
		if want := map[string]string{"acme": "acme", "bolt": "bolt"}[folder]; m.Tenant != want {
			b.t.Errorf("%s is of tenant %q, want %q", m.Source.Key, m.Tenant, want)
		}
	}
	return count
}

func (b *bench) report(now time.Time, name string) jet.TenantReport {
	b.t.Helper()
	all, err := b.broker.TenantReports(b.t.Context(), now)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range all {
		if r.Name == name {
			return r
		}
	}
	b.t.Fatalf("no tenant %s", name)
	return jet.TenantReport{}
}

// TestOverQuotaWaits: with two replicas exactly the quota is taken of each day, what is beyond waits for the next one however many come, and nobody else waits.
func TestOverQuotaWaits(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	b.config.Directories = nil
	days := b.tenancies(tenant.Tenant{Documents: 2})
	b.start()
	b.start()
	const documents = 2 * (jet.MaxDeliver + 2) // more days than a message has deliveries
	b.folder("acme", documents)
	b.folder("bolt", 5)
	b.folder("others", 3)
	for day := range documents / 2 {
		want := map[string]int{"acme": 2 * (day + 1), "bolt": 5, "others": 3}
		pipelinetest.Eventually(t, fmt.Sprint("day ", day, " is done"), func() bool {
			r := b.report(days.now(), "acme")
			return maps.Equal(b.takenOf(), want) && r.Used.Documents == 2 && r.Waiting == uint64(documents-2*(day+1))
		})
		if r := b.report(days.now(), "acme"); r.Over == nil || r.Over.Name != "documents" || r.Over.Until.Before(days.now()) {
			t.Fatalf("the report says %+v", r)
		}
		days.days.Add(1)
	}
	if failed := b.failed(); len(failed) > 0 {
		t.Errorf("documents failed: %+v", failed)
	}
	if used := b.report(days.now().Add(-24*time.Hour), "bolt").Used; used.Documents != 0 {
		t.Errorf("bolt used %+v on the last day", used)
	}
}

// TestQuotaIsRaised: documents go on at once; also those that were on their way when there was no tenant yet, and urgent ones wait like others.
func TestQuotaIsRaised(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.Directories = nil
	b.folder("acme", 3)
	urgent := map[string]string{"pdfmill-priority": "interactive"}
	b.put("acme/urgent.pdf", "urgent", urgent)
	for _, key := range []string{"acme/00.pdf", "acme/01.pdf", "acme/02.pdf"} {
		if err := b.broker.Publish(t.Context(), b.hint(key).Output()); err != nil {
			t.Fatal(err)
		}
	}
	days := b.tenancies(tenant.Tenant{Bytes: 1})
	b.start()
	pipelinetest.Eventually(t, "one is taken, two wait", func() bool { return len(b.ingested()) == 1 && b.report(days.now(), "acme").Waiting >= 2 })
	if err := b.broker.Publish(t.Context(), b.hint("acme/urgent.pdf").With(urgent).Output()); err != nil {
		t.Fatal(err)
	}
	pipelinetest.Eventually(t, "the urgent one waits too", func() bool {
		return b.report(days.now(), "acme").Waiting >= 3 && b.dropped() == int(b.report(days.now(), "acme").Waiting)
	})
	if n := len(b.ingested()); n != 1 {
		t.Fatalf("%d documents were taken, want 1", n)
	}
	b.tenancies(tenant.Tenant{Bytes: 1 << 20})
	pipelinetest.Eventually(t, "all are taken", func() bool { return len(b.ingested()) == 4 && b.dropped() == 0 })
}

// TestWaitingIsToldOnce: what waits for a quota is not dropped in again by each pass or process that finds it, and a second look at what was taken waits for none.
func TestWaitingIsToldOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	days := b.tenancies(tenant.Tenant{Documents: 1})
	b.write("acme/first.pdf", "first")
	s, stop := b.start()
	pipelinetest.Eventually(t, "the first is taken", func() bool { return len(b.ingested()) == 1 && s.tenancy.Over("acme", days.now()) != nil })
	b.write("acme/second.pdf", "second")
	sources := jet.NewSources(b.broker)
	pipelinetest.Eventually(t, "the second waits, and is noted to", func() bool {
		taken, found, err := sources.Get(t.Context(), document.Source{Bucket: b.bucket, Key: "acme/second.pdf"})
		return err == nil && found && taken.Job == "" && b.report(days.now(), "acme").Waiting == 1
	})
	pipelinetest.Eventually(t, "the first has had its second look", func() bool { return !b.taken("acme/first.pdf").Racy })
	stop()
	s, _ = b.start()
	pipelinetest.Eventually(t, "a new process has looked through the inbox", func() bool { return s.scans.Load() >= 2 })
	if r := b.report(days.now(), "acme"); r.Waiting != 1 || r.Used.Documents != 1 || s.hints.sent.Load() != 0 {
		t.Errorf("%d hints wait, %d were given, %+v was used", r.Waiting, s.hints.sent.Load(), r.Used)
	}
	days.days.Add(1)
	pipelinetest.Eventually(t, "the second is taken", func() bool { return len(b.ingested()) == 2 && b.dropped() == 0 })
}

// forgets has the broker forget the ids of messages that are not in the queue, as when it starts again, and waits until it has.
func (b *bench) forgets() {
	b.t.Helper()
	js := b.broker.JS()
	stream, err := js.Stream(b.t.Context(), jet.StreamJobs)
	if err != nil {
		b.t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.Duplicates = 100 * time.Millisecond // the least there is
	if _, err := js.UpdateStream(b.t.Context(), config); err != nil {
		b.t.Fatal(err)
	}
	known := false
	pipelinetest.Eventually(b.t, "the broker has forgotten", func() bool {
		ack, err := js.Publish(b.t.Context(), event.SubjectRendered, nil, jetstream.WithMsgID("the last one"))
		if err != nil {
			b.t.Fatal(err)
		}
		was := known
		known = true
		return was && !ack.Duplicate
	})
	if err := stream.Purge(b.t.Context(), jetstream.WithPurgeSubject(event.SubjectRendered)); err != nil {
		b.t.Fatal(err)
	}
}

// TestWaitingIsToldOnceForGood: whichever way a drop came into its tenant's lane, also when the process died while it moved it there, and while no quota was used up: once
// one is, a new process that looks through the inbox adds no other, though the broker has forgotten all ids.
func TestWaitingIsToldOnceForGood(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.Directories = nil
	days := b.tenancies(tenant.Tenant{})
	s := b.service()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go s.tenancy.Run(ctx)
	<-s.tenancy.Known()
	b.folder("acme", 4)
	listed, unsorted, elsewhere, late := b.hint("acme/00.pdf"), b.hint("acme/01.pdf"), b.hint("acme/02.pdf"), b.hint("acme/03.pdf")
	source, err := listed.Source()
	if err == nil {
		err = s.hints.send(ctx, days.now(), []document.Source{source})
	}
	if err != nil {
		t.Fatal(err)
	}
	acme := tenant.Tenant{Documents: 1}
	for _, way := range []struct {
		handle stage.Handler[event.Dropped]
		hint   event.Dropped
		over   bool
	}{
		{s.sort, unsorted, false},
		{s.handle, elsewhere, false},
		{func(ctx context.Context, d stage.Delivery[event.Dropped]) ([]stage.Output, error) {
			return s.handleIn(ctx, "acme", d)
		}, late, true},
	} {
		if way.over {
			b.tenancies(acme)
			if _, err := s.meter.Count(ctx, tenant.Tenant{Name: "acme"}, "another", tenant.Usage{Documents: 1}, days.now(), false); err != nil {
				t.Fatal(err)
			}
			pipelinetest.Eventually(t, "the quota is used up", func() bool { return s.tenancy.Over("acme", days.now()) != nil })
		}
		for range 2 { // the message comes again
			out, err := way.handle(ctx, stage.Delivery[event.Dropped]{ID: way.hint.MessageID(), Body: way.hint, Attempt: 1})
			if err == nil {
				err = b.broker.Publish(ctx, out...)
			}
			if err != nil || len(out) != 1 || out[0].Subject != event.SubjectDroppedOf("acme") {
				t.Fatalf("%+v, %v", out, err)
			}
		}
	}
	if n := b.report(days.now(), "acme").Waiting; n != 4 {
		t.Fatalf("%d hints wait for 4 documents", n)
	}
	b.forgets()
	s, _ = b.start()
	pipelinetest.Eventually(t, "a new process has looked through the inbox", func() bool { return s.scans.Load() >= 2 })
	if n := b.report(days.now(), "acme").Waiting; n != 4 {
		t.Errorf("%d hints wait for 4 documents", n)
	}
	acme.Documents = 9
	b.tenancies(acme)
	pipelinetest.Eventually(t, "all are taken", func() bool { return b.takenOf()["acme"] == 4 && b.dropped() == 0 })
	if used := b.report(days.now(), "acme").Used; used.Documents != 5 {
		t.Errorf("%+v was used", used)
	}
}

// TestDeviceSecondsCloseTheLane: what engines worked is known afterwards; then nothing more is taken.
func TestDeviceSecondsCloseTheLane(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	b.config.Directories = nil
	days := b.tenancies(tenant.Tenant{DeviceSeconds: 10})
	b.start()
	b.folder("acme", 1)
	pipelinetest.Eventually(t, "the first is taken", func() bool { return len(b.ingested()) == 1 })
	if _, err := jet.NewMeter(b.broker).Count(t.Context(), tenant.Tenant{Name: "acme"}, "range", tenant.Usage{DeviceSeconds: 11}, days.now(), false); err != nil {
		t.Fatal(err)
	}
	b.put("acme/second.pdf", "second", nil)
	pipelinetest.Eventually(t, "the second waits", func() bool { return b.report(days.now(), "acme").Waiting == 1 })
	days.days.Add(1)
	pipelinetest.Eventually(t, "the second is taken", func() bool { return len(b.ingested()) == 2 })
}

// TestOverQuotaIsRefused where the tenant wants that: with a class of its own, and to be replayed.
func TestOverQuotaIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	b.config.Directories = nil
	b.tenancies(tenant.Tenant{Documents: 1, OverQuota: tenant.Refuse})
	b.start()
	b.folder("acme", 3)
	pipelinetest.Eventually(t, "two fail", func() bool { return len(b.failed()) == 2 && len(b.ingested()) == 1 })
	for _, f := range b.failed() {
		if f.Class != failure.OverQuota || !f.Retryable || !strings.Contains(f.Message, "tenant acme has used 1 of 1 documents of today; it goes on at ") {
			t.Errorf("failed as %s, retryable %t: %s", f.Class, f.Retryable, f.Message)
		}
	}
}

// failing is a store whose first copies fail.
type failing struct {
	object.Store
	left int
}

func (f *failing) Put(ctx context.Context, bucket, key string, body io.Reader, size int64, how object.Put) (object.Info, error) {
	if strings.HasPrefix(key, "source/") && f.left > 0 {
		f.left--
		return object.Info{}, failure.New(failure.StoreUnavailable, "put", key, errors.New("not now"))
	}
	return f.Store.Put(ctx, bucket, key, body, size, how)
}

// TestADocumentCountsOnce, however often its message comes.
func TestADocumentCountsOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.Directories = nil
	days := b.tenancies(tenant.Tenant{Documents: 1, OverQuota: tenant.Refuse})
	broken := &failing{Store: store, left: 3}
	b.store = broken
	b.put("acme/a.pdf", "twelve bytes", nil)
	b.start()
	pipelinetest.Eventually(t, "it is taken", func() bool { return len(b.ingested()) == 1 && b.dropped() == 0 })
	if used := b.report(days.now(), "acme").Used; used != (tenant.Usage{Documents: 1, Bytes: 12}) || broken.left != 0 {
		t.Errorf("it counted as %+v, with %d failures to come", used, broken.left)
	}
}

// TestTenantsAreMeasured: a process tells what each tenant has used, and its limits.
func TestTenantsAreMeasured(t *testing.T) {
	t.Parallel()
	b := newBench(t).announcing()
	b.config.Directories = nil
	b.tenancies(tenant.Tenant{Documents: 4})
	s, _ := b.start()
	registry := prometheus.NewRegistry()
	if err := registry.Register(tenantMetrics{s}); err != nil {
		t.Fatal(err)
	}
	b.folder("acme", 2)
	value := func(name, who, quota string) float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == name && m.GetLabel()[0].GetValue() == quota && m.GetLabel()[1].GetValue() == who {
					return m.GetGauge().GetValue()
				}
			}
		}
		return -1
	}
	pipelinetest.Eventually(t, "two documents show", func() bool { return value("pdfmill_tenant_used", "acme", "documents") == 2 })
	for _, want := range []struct {
		name, who, quota string
		value            float64
	}{
		{"pdfmill_tenant_limit", "acme", "documents", 4},
		{"pdfmill_tenant_limit", "acme", "bytes", -1},
		{"pdfmill_tenant_used", "acme", "bytes", 12},
		{"pdfmill_tenant_used", "bolt", "documents", 0},
	} {
		if got := value(want.name, want.who, want.quota); got != want.value {
			t.Errorf("%s{%s,%s} is %g, want %g", want.name, want.who, want.quota, got, want.value)
		}
	}
}
