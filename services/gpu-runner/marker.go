package gpurunner

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/services/gpu-runner/pyenv"
)

// Extras of the runner: each holds an engine, or a generation of it.
const (
	ExtraMarker2 = "marker"  // 2.x: asks servers
	ExtraMarker1 = "marker1" // 1.10.x: models in every worker
	ExtraOCR     = "ocr"     // recognises on the CPU
)

// MarkerConfig says which marker runs, and what it may ask.
type MarkerConfig struct {
	Generation string `name:"generation" env:"PDFMILL_MARKER_GENERATION" enum:"auto,1,2" default:"auto" help:"Generation of marker: 2 asks servers, 1 holds its models in every worker; auto: 2 if it is installed, else 1."`
	Layout     string `name:"layout-url" env:"PDFMILL_MARKER_LAYOUT_URL" placeholder:"URL" help:"Layout server of marker 2.x, like http://127.0.0.1:8920/v1."`
	OCRError   string `name:"ocr-error-url" env:"PDFMILL_MARKER_OCR_ERROR_URL" placeholder:"URL" help:"OCR error server of marker 2.x."`
	VLM        string `name:"vlm-url" env:"PDFMILL_MARKER_VLM_URL" placeholder:"URL" help:"Server of marker 2.x's vision language model (vLLM, or llama.cpp's), OpenAI compatible."`
	Bare       bool   `name:"bare" env:"PDFMILL_MARKER_BARE" help:"Run marker 2.x without any server: a page is one block of its text layer, nothing is recognised."`
	LLM        string `name:"llm" env:"PDFMILL_MARKER_LLM" type:"path" placeholder:"FILE" help:"JSON file of the language model services that documents may name with the engine option llm."`
	Dtype      string `name:"dtype" env:"PDFMILL_MARKER_DTYPE" placeholder:"NAME" help:"Number format of marker 1.x's models: float32, float16 or bfloat16; default: by the device."`
	Attention  string `name:"attention" env:"PDFMILL_MARKER_ATTENTION" placeholder:"NAME" help:"Attention implementation of marker 1.x's models, like sdpa or flash_attention_2; default: by the device."`
	Offline    bool   `name:"offline" env:"PDFMILL_OFFLINE" default:"true" negatable:"" help:"Never let a worker touch the network for weights."`
}

// Validate reports everything that is wrong with the configuration.
func (c MarkerConfig) Validate() error {
	var faults []error
	for name, address := range map[string]string{"marker-layout-url": c.Layout, "marker-ocr-error-url": c.OCRError, "marker-vlm-url": c.VLM} {
		if u, err := url.Parse(address); address != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
			faults = append(faults, fmt.Errorf("%s is %q: it must be an address like http://127.0.0.1:8000/v1", name, address))
		}
	}
	if c.Dtype != "" && !slices.Contains([]string{"float32", "float16", "bfloat16"}, c.Dtype) {
		faults = append(faults, fmt.Errorf("marker-dtype is %q: it must be float32, float16 or bfloat16", c.Dtype))
	}
	return errors.Join(faults...)
}

// environment is what marker reads; models and their caches are below cache.
func (c MarkerConfig) environment(cache string) map[string]string {
	models := filepath.Join(cache, "models")
	env := map[string]string{
		"MODEL_CACHE_DIR": filepath.Join(models, "datalab"), "PDFMILL_MARKER_LLM": c.LLM,
		"PDFMILL_MARKER_DTYPE": c.Dtype, "PDFMILL_MARKER_ATTENTION": c.Attention,
		"FAST_LAYOUT_SERVER_URL": c.Layout, "OCR_ERROR_SERVER_URL": c.OCRError, "SURYA_INFERENCE_URL": c.VLM,
		"PDFMILL_MARKER_SERVERS": c.servers(),
	}
	if c.Offline {
		env["HF_HUB_OFFLINE"], env["TRANSFORMERS_OFFLINE"] = "1", "1"
	}
	return env
}

// servers names those that a worker may ask: what has an address, or, when nothing has, all of them, so that the worker says what is missing.
func (c MarkerConfig) servers() string {
	if c.Bare {
		return "none"
	}
	var names []string
	for _, s := range []struct{ name, address string }{{"layout", c.Layout}, {"ocr_error", c.OCRError}, {"vlm", c.VLM}} {
		if s.address != "" {
			names = append(names, s.name)
		}
	}
	return strings.Join(names, ",")
}

// extra chooses the part of the runner that an engine needs. None is installed by itself: they are large, and marker comes under licences that somebody
// must have read.
func (c Config) extra(engine string, env pyenv.Config) (string, error) {
	var wanted []string
	switch {
	case engine == job.EngineOCR:
		wanted = []string{ExtraOCR}
	case engine != job.EngineMarker:
		return "", nil
	case c.Marker.Generation == "1":
		wanted = []string{ExtraMarker1}
	case c.Marker.Generation == "2":
		wanted = []string{ExtraMarker2}
	default:
		wanted = []string{ExtraMarker2, ExtraMarker1}
	}
	for _, extra := range wanted {
		if env.Extra = extra; pyenv.Installed(env) {
			return extra, nil
		}
	}
	return "", failure.Newf(failure.EngineMissing, "start engine", engine, "it is not installed in %s", env.Dir).
		WithHint("pdfmill engines install " + wanted[0] + " shows what it takes, and installs it")
}
