package gpurunner

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/pyenv"
	"github.com/pdfmill/pdfmill/services/gpu-runner/schedule"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

func TestNothingLargeIsInstalledByItself(t *testing.T) {
	_, err := (Config{}).extra(job.EngineOCR, pyenv.Config{Dir: t.TempDir()})
	if failure.ClassOf(err, "") != failure.EngineMissing || !strings.Contains(err.Error(), "engines install ocr ") {
		t.Errorf("ocr: %v", err)
	}
	for generation, command := range map[string]string{"auto": "install marker ", "2": "install marker ", "1": "install marker1 "} {
		c := Config{Marker: MarkerConfig{Generation: generation}}
		_, err := c.extra(job.EngineMarker, pyenv.Config{Dir: t.TempDir()})
		if failure.ClassOf(err, "") != failure.EngineMissing || !strings.Contains(err.Error(), command) {
			t.Errorf("%s: %v", generation, err)
		}
	}
	if extra, err := (Config{}).extra(job.EngineText, pyenv.Config{Dir: t.TempDir()}); extra != "" || err != nil {
		t.Errorf("text: %q, %v", extra, err)
	}
}

func TestMarkerAsksTheServersThatHaveAnAddress(t *testing.T) {
	for want, at := range map[string]addresses{
		"none":                 {},
		"layout":               {layout: "http://h/v1"},
		"layout,ocr_error,vlm": {layout: "http://h/v1", ocrError: "http://h/v1", vlm: "http://h/v1"},
	} {
		if got := (MarkerConfig{}).environment("/cache", at)["PDFMILL_MARKER_SERVERS"]; got != want {
			t.Errorf("%+v: servers %q, want %q", at, got, want)
		}
	}
}

// Whoever fetches something needs the network; who asks servers, no more than their ports, and everybody else nothing of it. Where the driver of a GPU needs a helper, its
// workers keep the way to more privileges.
func TestWhatWorkersKeep(t *testing.T) {
	servers := addresses{layout: "http://127.0.0.1:7/v1", ocrError: "https://h/v1"}
	offline, offline1 := MarkerConfig{Generation: "2", Offline: true}, MarkerConfig{Generation: "1", Offline: true}
	ready := "nothing"
	if devices.Ready() != nil {
		ready = "all"
	}
	for what, c := range map[string]struct {
		engine, device string
		config         Config
		at             addresses
		keeps          string
	}{
		"text":                  {job.EngineText, "", Config{}, addresses{}, "nothing"},
		"marker 2 with servers": {job.EngineMarker, "", Config{Marker: offline}, servers, "[7 443]"},
		"marker 2 without":      {job.EngineMarker, "", Config{Marker: offline}, addresses{}, "nothing"},
		"with a language model": {job.EngineMarker, "", Config{Marker: MarkerConfig{Generation: "2", Offline: true, LLM: "/llm.json"}}, addresses{}, "all"},
		"that may fetch":        {job.EngineMarker, "", Config{Marker: MarkerConfig{Generation: "2"}}, addresses{}, "all"},
		"marker 1 on the CPU":   {job.EngineMarker, "", Config{Marker: offline1}, addresses{}, "nothing"},
		"on a GPU":              {job.EngineMarker, "GPU-1", Config{Marker: offline1}, addresses{}, ready},
		"on a simulated GPU":    {engineSim, "sim-0", Config{GPUSim: "/socket"}, addresses{}, "nothing"},
		"nobody":                {job.EngineText, "", Config{Confine: confineNone}, addresses{}, "all"},
		"all":                   {job.EngineMarker, "GPU-1", Config{Confine: confineAll, Marker: offline1}, addresses{}, "nothing"},
	} {
		made, keeps := command(c.engine, c.config, t.TempDir(), "python", nil, supervise.Launch{Device: c.device}, 1, c.at), "nothing"
		if !made.Confined {
			keeps = "all"
		} else if made.Ports != nil {
			keeps = fmt.Sprint(made.Ports.Connect)
		}
		if keeps != c.keeps {
			t.Errorf("%s: keeps %s, want %s", what, keeps, c.keeps)
		}
	}
	everybody := Config{Confine: confineAll, Marker: MarkerConfig{Generation: "2", LLM: "/llm.json"}}
	_, err := newEngine(job.EngineMarker, everybody, t.TempDir(), schedule.New(schedule.Config{Log: telemetry.Discard()}), nil, nil, telemetry.Discard())
	if err == nil || !strings.Contains(err.Error(), "confine") {
		t.Errorf("confined from its servers: %v", err)
	}
}

func TestMarkerConfigNamesItsFaults(t *testing.T) {
	err := MarkerConfig{Layout: "localhost:1", VLM: "ftp://x", VLMServer: vlmVLLM, VLMMemory: -1, Dtype: "int8", Attention: "full"}.Validate()
	for _, name := range []string{"marker-layout-url", "marker-vlm-url", "marker-vlm-server", "marker-vlm-memory", "marker-dtype", "marker-attention"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	if err := (MarkerConfig{Layout: "http://127.0.0.1:1/v1"}).Validate(); err != nil {
		t.Error(err)
	}
}

// Its loops must not wait for a worker: only a range that they fetch makes one start.
func TestAnEngineOnDemandIsNotWaitedFor(t *testing.T) {
	s := schedule.New(schedule.Config{Log: telemetry.Discard()})
	s.Add(profile(job.EngineOCR, Config{}))
	if err := (&engine{name: job.EngineOCR, scheduler: s}).await(t.Context()); err != nil { // there is no pool to wait for
		t.Error(err)
	}
}
