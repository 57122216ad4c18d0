package gpurunner

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/services/gpu-runner/cgroup"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/schedule"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// Who runs the vision language model here.
const (
	vlmNone     = "none"
	vlmVLLM     = "vllm"
	vlmLlamaCPP = "llamacpp"
)

// perRange is how many requests to the vision language model a range in work has open at most: a worker hands its models so many pages at once.
const perRange = 8

// What servers are expected to hold: of the host's memory as measured with weights of the real size, of a device's estimated from that.
const (
	layoutHost, layoutGPU     = 2 * gib, 2 * gib
	ocrErrorHost, ocrErrorGPU = 3 * gib / 2, gib
	besideGPU                 = 2 * gib // of the host's memory, by a server that is on a GPU
	vlmHost                   = 8 * gib
	vlmPart                   = 0.85 // of a device; what marker's own start of vLLM takes
)

// servers are what the workers of marker 2.x ask: one layout server and one OCR error server for all, and a server of the vision language model on each
// GPU. Those with an address are somebody else's and only watched. A nil *servers has none.
type servers struct {
	layout, ocrError *supervise.Server   // nil: there is none
	vlms             []*supervise.Server // each worker belongs to one

	mu     sync.Mutex
	belong map[int]int // worker → index in vlms
}

// inviter books memory for a server: the scheduler, or, when a single worker is tried, nobody.
type inviter func(ctx context.Context, g schedule.Guest) (schedule.Stay, error)

// newServers makes the servers that an engine's workers need, without starting any.
func newServers(name string, c Config, cache string, invite inviter, gpus []devices.Reading, registry *supervise.Registry, groups *cgroup.Tree, log *slog.Logger) (*servers, error) {
	if name != job.EngineMarker || c.Marker.Generation == "1" || c.Marker.Bare {
		return nil, nil
	}
	m := maker{config: c, cache: cache, invite: invite, registry: registry, groups: groups, log: log}
	all := &servers{belong: map[int]int{}}
	var err error
	if all.layout, err = m.server("layout", c.Marker.Layout, m.python("layout"), schedule.Guest{Bytes: layoutGPU, Host: layoutHost, Beside: besideGPU}, layoutTry); err != nil {
		return nil, err
	}
	switch {
	case c.Marker.VLM != "":
		vlm, err := m.server("vlm", c.Marker.VLM, nil, schedule.Guest{}, nil)
		if err != nil {
			return nil, err
		}
		all.vlms = []*supervise.Server{vlm}
	case c.Marker.VLMServer == vlmVLLM, c.Marker.VLMServer == vlmLlamaCPP:
		if all.vlms, err = m.vlms(gpus); err != nil {
			return nil, err
		}
	}
	if len(all.vlms) > 0 || c.Marker.OCRError != "" { // it tells what the vision language model shall read: of no use without one
		all.ocrError, err = m.server("ocr-error", c.Marker.OCRError, m.python("ocr_error"), schedule.Guest{Bytes: ocrErrorGPU, Host: ocrErrorHost, Beside: besideGPU}, ocrErrorTry)
	}
	return all, err
}

// all lists the servers.
func (s *servers) all() (out []*supervise.Server) {
	if s == nil {
		return nil
	}
	for _, one := range append([]*supervise.Server{s.layout, s.ocrError}, s.vlms...) {
		if one != nil {
			out = append(out, one)
		}
	}
	return out
}

func (s *servers) start() {
	for _, one := range s.all() {
		one.Start()
	}
}

// stop ends them all at once, and returns when they are gone.
func (s *servers) stop() {
	var group sync.WaitGroup
	for _, one := range s.all() {
		group.Go(one.Stop)
	}
	group.Wait()
}

func (s *servers) snapshots() []supervise.ServerSnapshot {
	out := []supervise.ServerSnapshot{}
	for _, one := range s.all() {
		out = append(out, one.Snapshot())
	}
	return out
}

// addresses waits until the servers that a worker will ask work, and returns where they are. Of several servers of the vision language model it gets the
// one with fewest workers that isn't in quarantine.
func (s *servers) addresses(ctx context.Context, worker int) (at addresses, err error) {
	if s == nil {
		return at, nil
	}
	if len(s.vlms) > 0 {
		s.choose(worker)
	}
	for _, one := range s.of(worker) {
		if _, err := one.Await(ctx); err != nil {
			return at, err
		}
	}
	address := func(one *supervise.Server) string {
		if one == nil {
			return ""
		}
		return one.URL() + "/v1"
	}
	at = addresses{layout: address(s.layout), ocrError: address(s.ocrError)}
	if len(s.vlms) > 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		at.vlm = address(s.vlms[s.belong[worker]])
	}
	return at, nil
}

func (s *servers) choose(worker int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.belong, worker)
	users := make([]int, len(s.vlms))
	for _, i := range s.belong {
		users[i]++
	}
	best := 0
	for i, one := range s.vlms {
		if one.Snapshot().State == supervise.Quarantined {
			users[i] += 1 << 20
		}
		if users[i] < users[best] {
			best = i
		}
	}
	s.belong[worker] = best
}

// of lists the servers that a worker asks.
func (s *servers) of(worker int) []*supervise.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []*supervise.Server{s.layout, s.ocrError}
	if i, ok := s.belong[worker]; ok {
		list = append(list, s.vlms[i])
	}
	return slices.DeleteFunc(list, func(one *supervise.Server) bool { return one == nil })
}

// capacity is how many ranges may be in work at once; 0: any number.
func (s *servers) capacity(c MarkerConfig) int {
	if s == nil || len(s.vlms) == 0 {
		return 0
	}
	return len(s.vlms) * max(1, c.parallel()/perRange)
}

// attempt is one try of a range, as its servers saw it.
type attempt struct {
	servers *servers
	asked   []*supervise.Server
	epochs  []int
}

// begin waits until the worker's servers work. It is supervise.Job's Begin.
func (a *attempt) begin(ctx context.Context, worker int) error {
	a.asked, a.epochs = a.servers.of(worker), nil
	for _, one := range a.asked {
		epoch, err := one.Await(ctx)
		if err != nil {
			return err
		}
		a.epochs = append(a.epochs, epoch)
	}
	return nil
}

// disturbed names the server that went away while the range was in work, if that may be why it came out as it did; "": it isn't.
func (a *attempt) disturbed(ctx context.Context, o supervise.Outcome, err error) string {
	switch class := failure.ClassOf(err, ""); {
	case ctx.Err() != nil:
		return ""
	case err == nil && slices.ContainsFunc(o.Result.Pages, lesser):
	case class == failure.Unhealthy, class == failure.EngineError, class == failure.ModelBug, class == failure.Timeout:
	default:
		return ""
	}
	for i, epoch := range a.epochs {
		now := a.asked[i].Snapshot()
		if now.State != supervise.Idle || now.Epoch != epoch || (err != nil && a.asked[i].Check(ctx) != nil) {
			return now.Name
		}
	}
	return ""
}

// register makes the servers' health a metric.
func (s *servers) register(r prometheus.Registerer) {
	if r == nil {
		return
	}
	for _, one := range s.all() {
		labels := prometheus.Labels{"server": one.Snapshot().Name}
		for _, c := range []prometheus.Collector{
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pdfmill_server_up", Help: "1 while a shared server of models works.", ConstLabels: labels}, func() float64 {
				if one.Snapshot().State == supervise.Idle {
					return 1
				}
				return 0
			}),
			prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "pdfmill_server_restarts_total", Help: "Starts of a shared server of models after its first.", ConstLabels: labels}, func() float64 {
				return float64(one.Snapshot().Restarts)
			}),
		} {
			_ = r.Register(c) // twice in one process is a test
		}
	}
}
