package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/pdfmill/pdfmill/pipeline/crashpoint"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// errWaits says that a quota is used up, and that the document is to wait.
var errWaits = errors.New("over quota")

// place is the hint in the lane where it waits: of its tenant, or of its source. What is urgent takes no turns, for as long as its tenant's quotas last.
func (s *Service) place(d event.Dropped) stage.Output {
	out := d.Output()
	source, err := d.Source()
	if err != nil || d.Urgent() {
		return out
	}
	if owner, owned := s.tenancy.Of(source); owned {
		out.Subject = event.SubjectDroppedOf(owner.Name)
	}
	return out
}

// promise notes that a message answers for an object, unless it was taken meanwhile: a message may wait in a tenant's lane for longer than the broker knows its
// id, and than this process lives, and each pass over the inbox would add another.
func (s *Service) promise(ctx context.Context, source document.Source) error {
	return s.sources.Promise(ctx, jet.Taken{Source: source, TakenAt: s.now().UTC()})
}

// moved puts a hint at the end of its owner's lane: it came in another, from somebody who does not know tenants or before there was this one, or it was on its way
// when a quota was used up.
func (s *Service) moved(ctx context.Context, d stage.Delivery[event.Dropped], source document.Source, owner tenant.Tenant) ([]stage.Output, error) {
	out := d.Body.Output()
	if owner.Name != "" {
		out.Subject = event.SubjectDroppedOf(owner.Name)
		if err := s.promise(ctx, source); err != nil { // before it is there: until then this message answers
			return nil, unnoted(source, err)
		}
	}
	out.ID = movedID(d)
	return []stage.Output{out}, nil
}

// movedID is what a hint is called in its next lane: the broker knows the hint's own id from the very message that is moved. It is the same when that comes again.
func movedID(d stage.Delivery[event.Dropped]) string {
	return d.Body.MessageID() + ":moved:" + document.Digest(d.ID)
}

// count has a document count for its tenant, once whatever happens, unless a quota is used up.
func (s *Service) count(ctx context.Context, owner tenant.Tenant, source document.Source) error {
	if owner.Name == "" {
		return nil
	}
	over, err := s.meter.Count(ctx, owner, "document "+source.Version(), tenant.Usage{Documents: 1, Bytes: source.Size}, s.now(), true)
	crashpoint.Reach(stage.Ingest, crashpoint.AfterCount)
	switch {
	case err != nil:
		return unnoted(source, err)
	case over == nil:
		return nil
	case owner.Waits():
		return errWaits
	}
	return failure.New(failure.OverQuota, "take", source.Path(), errors.New(over.String())).WithHint("replay it then, or raise the quota")
}

// tenantLanes consumes the lanes of tenants: of those there are, and those to come. That of a tenant that is no more goes on for the sake of what is left there.
func (s *Service) tenantLanes(ctx context.Context, loop jet.Loop, gate *jet.Gate, places *semaphore.Weighted) error {
	group, ctx := errgroup.WithContext(ctx)
	runs := map[string]bool{}
	for ctx.Err() == nil {
		set, changed := s.tenancy.All()
		for _, t := range set {
			if runs[t.Name] {
				continue
			}
			runs[t.Name] = true
			s.wellPlaced(t)
			handle := fair(places, func(ctx context.Context, d stage.Delivery[event.Dropped]) ([]stage.Output, error) {
				return s.handleIn(ctx, t.Name, d)
			})
			lane := jet.Lane{
				Subject: event.SubjectDroppedOf(t.Name), Concurrency: s.config.Concurrency, Gate: gate, Hold: func(ctx context.Context) { s.awaitQuota(ctx, t.Name) },
			}
			group.Go(func() error { return jet.RunLanes(ctx, s.platform.Broker, loop, []jet.Lane{lane}, handle) })
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
	return group.Wait()
}

// wellPlaced warns of a tenant of whose documents this process would not hear.
func (s *Service) wellPlaced(t tenant.Tenant) {
	if !t.In(s.config.Inbox) {
		s.log.Warn("a tenant's source is in no inbox (name one that holds it with --inbox)", "tenant", t.Name, "source", t.Source)
	}
}

// quotaLook is the longest pause between two looks at the clock of a tenant that waits for its next day.
const quotaLook = time.Second

// awaitQuota returns when no quota of a tenant's is used up, or ctx ends.
func (s *Service) awaitQuota(ctx context.Context, name string) {
	for ctx.Err() == nil {
		_, changed := s.tenancy.All()
		over := s.tenancy.Over(name, s.now())
		if over == nil {
			return
		}
		if last, _ := s.waits.Swap(name, over.String()); last != over.String() { // each of those that ask comes by here
			s.log.Info("documents wait", "why", over.String())
		}
		timer := time.NewTimer(quotaLook)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// tenantMetrics tell what tenants have used. There are tenant.Most of them at most.
type tenantMetrics struct{ *Service }

var (
	tenantUsed  = prometheus.NewDesc("pdfmill_tenant_used", "What a tenant has used of a quota on this day of UTC.", []string{"tenant", "quota"}, nil)
	tenantLimit = prometheus.NewDesc("pdfmill_tenant_limit", "A tenant's quota a day; absent where there is none.", []string{"tenant", "quota"}, nil)
)

// Describe implements prometheus.Collector.
func (tenantMetrics) Describe(out chan<- *prometheus.Desc) { out <- tenantUsed; out <- tenantLimit }

// Collect implements prometheus.Collector.
func (m tenantMetrics) Collect(out chan<- prometheus.Metric) {
	set, _ := m.tenancy.All()
	for _, t := range set {
		for _, q := range t.Quotas(m.tenancy.Used(t.Name, m.now())) {
			out <- prometheus.MustNewConstMetric(tenantUsed, prometheus.GaugeValue, q.Used, t.Name, q.Name)
			if q.Limit > 0 {
				out <- prometheus.MustNewConstMetric(tenantLimit, prometheus.GaugeValue, q.Limit, t.Name, q.Name)
			}
		}
	}
}
