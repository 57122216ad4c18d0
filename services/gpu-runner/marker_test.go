package gpurunner

import (
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
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

// Whoever asks somebody needs the network; everybody else can do without.
func TestWorkersThatAskNobodyAreConfined(t *testing.T) {
	servers := addresses{layout: "http://127.0.0.1:1/v1"}
	offline := MarkerConfig{Generation: "2", Offline: true}
	for what, c := range map[string]struct {
		engine   string
		config   Config
		at       addresses
		confined bool
	}{
		"text":                              {job.EngineText, Config{}, addresses{}, true},
		"marker 2 with servers":             {job.EngineMarker, Config{Marker: offline}, servers, false},
		"marker 2 without":                  {job.EngineMarker, Config{Marker: offline}, addresses{}, true},
		"with a language model":             {job.EngineMarker, Config{Marker: MarkerConfig{Generation: "2", Offline: true, LLM: "/llm.json"}}, addresses{}, false},
		"that may fetch":                    {job.EngineMarker, Config{Marker: MarkerConfig{Generation: "2"}}, addresses{}, false},
		"marker 1, for which there is CUDA": {job.EngineMarker, Config{Marker: MarkerConfig{Generation: "1", Offline: true}}, addresses{}, false},
		"nobody":                            {job.EngineText, Config{Confine: confineNone}, addresses{}, false},
		"all":                               {job.EngineMarker, Config{Confine: confineAll, Marker: MarkerConfig{Generation: "1", Offline: true}}, addresses{}, true},
	} {
		made := command(c.engine, c.config, t.TempDir(), "python", nil, supervise.Launch{}, 1, c.at)
		if made.Confined != c.confined {
			t.Errorf("%s: confined %t", what, made.Confined)
		}
	}
	everybody := Config{Confine: confineAll, Marker: MarkerConfig{Generation: "2", Layout: "http://127.0.0.1:1/v1"}}
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
