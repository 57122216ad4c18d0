package gpurunner

import (
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
	"github.com/pdfmill/pdfmill/services/gpu-runner/pyenv"
	"github.com/pdfmill/pdfmill/services/gpu-runner/schedule"
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

func TestMarkerConfigNamesItsFaults(t *testing.T) {
	err := MarkerConfig{Layout: "localhost:1", VLM: "ftp://x", VLMServer: vlmVLLM, VLMMemory: -1, Dtype: "int8"}.Validate()
	for _, name := range []string{"marker-layout-url", "marker-vlm-url", "marker-vlm-server", "marker-vlm-memory", "marker-dtype"} {
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
