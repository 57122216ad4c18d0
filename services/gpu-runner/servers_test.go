package gpurunner

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/gpusim"
	"github.com/pdfmill/pdfmill/services/gpu-runner/schedule"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// watched is a server of somebody else's that a test takes away and brings back.
func watched(t *testing.T) (s *supervise.Server, away *atomic.Bool) {
	t.Helper()
	away = &atomic.Bool{}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	t.Cleanup(other.Close)
	s, err := supervise.NewServer(supervise.ServerConfig{Name: "layout", URL: other.URL, Interval: 5 * time.Millisecond, Failures: 1, Log: telemetry.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	s.Start()
	return s, away
}

// slowThenBad is a document that takes a while and then fails.
func slowThenBad() []string {
	return append(strings.Split(strings.Repeat("slow,", 9)+"slow", ","), "pdfmill-sim:engine-error")
}

func TestARangeWaitsForItsServerWithoutSpendingAnAttempt(t *testing.T) {
	p := prepareSimPlant(t, nil, gpusim.DeviceConfig{Total: 24 * gib, TimeScale: 1})
	layout, away := watched(t)
	p.engine.servers = &servers{layout: layout}
	p.run()
	path := p.document("it", slowThenBad()...)
	done := make(chan *outcome, 1)
	go func() { done <- p.convert(path, 11) }()
	pipelinetest.Eventually(t, "it is in work", func() bool { return p.device().Jobs == 1 })
	away.Store(true)
	pipelinetest.Eventually(t, "the server is missed", func() bool { return layout.Snapshot().State == supervise.Backoff })
	pipelinetest.Eventually(t, "the range waits", func() bool { // it has failed once and is in a worker's hand again
		for _, w := range p.workers() {
			if w.LastError != "" && w.Job != nil {
				return true
			}
		}
		return false
	})
	texts := slowThenBad()
	texts[10] = "well"
	if err := os.WriteFile(path, pipelinetest.PDF(texts...), 0o600); err != nil { // what had failed was the server's absence
		t.Fatal(err)
	}
	away.Store(false)
	o := <-done
	for page, became := range o.pages {
		if became != event.PageOK {
			t.Errorf("page %d: %s", page, became)
		}
	}
	if o.tries["bulk 1-11 default"] != 1 || len(o.classes) != 0 {
		t.Errorf("tried %v, failed as %v", o.tries, o.classes)
	}
}

func TestServersAreToldOf(t *testing.T) {
	p := prepareSimPlant(t, nil, gpusim.DeviceConfig{Total: 24 * gib, TimeScale: 1})
	layout, away := watched(t)
	p.engine.servers = &servers{layout: layout}
	told := func() event.Server { return (&teller{p.Service}).answer().Servers[0] }
	pipelinetest.Eventually(t, "it works", func() bool { return told().State == event.ServerWorks })
	away.Store(true)
	pipelinetest.Eventually(t, "it is away", func() bool { return told().LastError != "" })
	if s := told(); s.Name != "layout" || s.URL != layout.URL() || !s.External || s.State == event.ServerWorks || s.Reason == "" || s.Since.IsZero() {
		t.Errorf("%+v", s)
	}
}

// Servers that die again and again of the same range make it a suspect.
func TestARangeThatServersDieOfIsASuspect(t *testing.T) {
	p := prepareSimPlant(t, nil, gpusim.DeviceConfig{Total: 24 * gib, TimeScale: 1})
	layout, away := watched(t)
	p.engine.servers = &servers{layout: layout}
	p.run()
	path := p.document("it", slowThenBad()...)
	over := make(chan *outcome, 1)
	go func() { over <- p.convert(path, 11) }()
	var o *outcome
	ended := func() bool {
		select {
		case o = <-over:
		default:
		}
		return o != nil
	}
	for o == nil { // the server goes whenever a range is in work, and comes back
		epoch := layout.Snapshot().Epoch
		pipelinetest.Eventually(t, "a range is in work", func() bool { return ended() || p.device().Jobs == 1 })
		away.Store(true)
		pipelinetest.Eventually(t, "the server is missed", func() bool { return layout.Snapshot().State != supervise.Idle })
		away.Store(false)
		pipelinetest.Eventually(t, "the server is back", func() bool { return layout.Snapshot().Epoch != epoch })
	}
	if !o.seen(failure.Crash) {
		t.Errorf("failed as %v, tried %v", o.classes, o.tries)
	}
}

func TestServersHoldRoomOnTheirDevices(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "gpu")
	broker, err := gpusim.Start(socket, gpusim.DeviceConfig{Total: 24 * gib})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	sim, err := devices.OpenSim(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close() //nolint:errcheck // a test's
	s := schedule.New(schedule.Config{GPU: sim, Log: telemetry.Discard(), Every: 10 * time.Millisecond})
	s.Measure(t.Context())
	left := make(chan string, 1)
	stay, err := s.Invite(t.Context(), schedule.Guest{Name: "vlm", Bytes: 20 * gib, Beside: gib, Leave: func(why string) { left <- why }})
	if err != nil || stay.Device == "" {
		t.Fatal(stay, err)
	}
	tight, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Invite(tight, schedule.Guest{Name: "layout", Bytes: 4 * gib}); err == nil {
		t.Error("more was given than there is")
	}
	lent := make(chan error, 1)
	go func() {
		_, err := s.Lend(t.Context(), "", time.Hour)
		lent <- err
	}()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	go s.Run(ctx)
	if why := <-left; !strings.Contains(why, "lent") {
		t.Errorf("asked to leave because %q", why)
	}
	stay.End()
	if err := <-lent; err != nil {
		t.Error(err)
	}
}

func TestServersOnAMachineWithoutGPUHoldHostMemory(t *testing.T) {
	s := schedule.New(schedule.Config{Log: telemetry.Discard()})
	s.Measure(t.Context())
	stay, err := s.Invite(t.Context(), schedule.Guest{Name: "layout", Bytes: 1 << 50, Host: gib})
	if err != nil || stay.Device != "" {
		t.Fatal(stay, err)
	}
	if b := s.Snapshot(); len(b) != 1 || b[0].Residents != gib {
		t.Errorf("%+v", b)
	}
	stay.End()
	if b := s.Snapshot(); b[0].Residents != 0 {
		t.Errorf("%+v", b)
	}
}

// Which servers there are follows from the configuration, and how many ranges may be in work from the servers.
func TestServersFollowFromTheConfiguration(t *testing.T) {
	gpus := []devices.Reading{{ID: "GPU-a", Total: 24 * gib}, {ID: "GPU-b", Total: 24 * gib}}
	for what, c := range map[string]struct {
		marker   MarkerConfig
		gpus     []devices.Reading
		names    string
		capacity int
	}{
		"models in the workers": {marker: MarkerConfig{Generation: "1"}},
		"bare":                  {marker: MarkerConfig{Generation: "2", Bare: true}},
		"no recognition":        {marker: MarkerConfig{Generation: "2"}, names: "layout"},
		"all here, two cards":   {marker: MarkerConfig{Generation: "2", VLMServer: vlmVLLM}, gpus: gpus, names: "layout ocr-error vlm-0 vlm-1", capacity: 16},
		"on the CPU":            {marker: MarkerConfig{Generation: "2", VLMServer: vlmLlamaCPP}, names: "layout ocr-error vlm", capacity: 1},
		"the model elsewhere":   {marker: MarkerConfig{Generation: "2", VLM: "http://h/v1", VLMParallel: 24}, names: "layout ocr-error vlm", capacity: 3},
	} {
		s, err := newServers("marker", Config{Marker: c.marker}, t.TempDir(), nil, c.gpus, nil, nil, telemetry.Discard())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, n := range s.snapshots() {
			names = append(names, n.Name)
		}
		if got := strings.Join(names, " "); got != c.names || s.capacity(c.marker) != c.capacity {
			t.Errorf("%s: %s for %d ranges, want %s for %d", what, got, s.capacity(c.marker), c.names, c.capacity)
		}
	}
}

func TestWorkersSpreadOverTheServersOfTheVisionModel(t *testing.T) {
	a, _ := watched(t)
	b, _ := watched(t)
	s := &servers{vlms: []*supervise.Server{a, b}, belong: map[int]int{}}
	count := map[string]int{}
	for worker := range 4 {
		at, err := s.addresses(t.Context(), worker)
		if err != nil {
			t.Fatal(err)
		}
		count[at.vlm]++
	}
	if count[a.URL()+"/v1"] != 2 || count[b.URL()+"/v1"] != 2 {
		t.Errorf("%v", count)
	}
}
