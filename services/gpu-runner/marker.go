package gpurunner

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/secret"
	"github.com/pdfmill/pdfmill/services/gpu-runner/pyenv"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
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

	VLMServer   string   `name:"vlm-server" env:"PDFMILL_MARKER_VLM_SERVER" enum:"none,vllm,llamacpp" default:"none" help:"Run the vision language model here, one server a GPU: with vllm, or with llamacpp (llama-server)."`
	VLMProgram  string   `name:"vlm-program" env:"PDFMILL_MARKER_VLM_PROGRAM" placeholder:"FILE" help:"The server's program; default: vllm or llama-server from PATH."`
	VLMArgs     []string `name:"vlm-arg" sep:"none" placeholder:"ARG" help:"One more argument for that program, given as it is; may be repeated."`
	VLMMemory   int64    `name:"vlm-memory" env:"PDFMILL_MARKER_VLM_MEMORY" placeholder:"BYTES" help:"Device memory that it may take, booked before it starts; default: 85 percent of the device; without a GPU, 8 GiB of the host's."`
	VLMParallel int      `name:"vlm-parallel" env:"PDFMILL_MARKER_VLM_PARALLEL" placeholder:"N" help:"Requests that one server of the vision language model works on at once; a range sends up to 8, so that an eighth of it is the number of ranges in work. Default: 64, llamacpp 8."`

	Models    string `name:"models" env:"PDFMILL_MODELS" type:"path" placeholder:"DIR" help:"Folder of weights. Default: models, below the cache folder."`
	Bare      bool   `name:"bare" env:"PDFMILL_MARKER_BARE" help:"Run marker 2.x without any server: a page is one block of its text layer, nothing is recognised."`
	LLM       string `name:"llm" env:"PDFMILL_MARKER_LLM" type:"path" placeholder:"FILE" help:"JSON file of the language model services that documents may name with the engine option llm."`
	Dtype     string `name:"dtype" env:"PDFMILL_MARKER_DTYPE" placeholder:"NAME" help:"Number format of marker 1.x's models: float32, float16 or bfloat16; default: by the device."`
	Attention string `name:"attention" env:"PDFMILL_MARKER_ATTENTION" placeholder:"NAME" help:"Attention of marker 1.x's layout and recognition models: eager, sdpa or flash_attention_2; default: by the device."`
	Offline   bool   `name:"offline" env:"PDFMILL_OFFLINE" default:"true" negatable:"" help:"Never let a worker touch the network for weights."`
}

// Validate reports everything that is wrong with the configuration.
func (c MarkerConfig) Validate() error {
	var faults []error
	if c.VLM != "" && c.VLMServer != "" && c.VLMServer != vlmNone {
		faults = append(faults, errors.New("marker-vlm-url and marker-vlm-server exclude each other: the model runs elsewhere, or here"))
	}
	if c.VLMMemory < 0 || c.VLMParallel < 0 {
		faults = append(faults, fmt.Errorf("marker-vlm-memory is %d and marker-vlm-parallel %d: they can't be negative", c.VLMMemory, c.VLMParallel))
	}
	for name, address := range map[string]string{"marker-layout-url": c.Layout, "marker-ocr-error-url": c.OCRError, "marker-vlm-url": c.VLM} {
		if u, err := secret.ParseURL(address); address != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
			faults = append(faults, fmt.Errorf("%s is %q: it must be an address like http://127.0.0.1:8000/v1", name, secret.URL(address)))
		}
	}
	if c.Dtype != "" && !slices.Contains([]string{"float32", "float16", "bfloat16"}, c.Dtype) {
		faults = append(faults, fmt.Errorf("marker-dtype is %q: it must be float32, float16 or bfloat16", c.Dtype))
	}
	if c.Attention != "" && !slices.Contains([]string{"eager", "sdpa", "flash_attention_2"}, c.Attention) {
		faults = append(faults, fmt.Errorf("marker-attention is %q: it must be eager, sdpa or flash_attention_2", c.Attention))
	}
	return errors.Join(faults...)
}

// addresses are where a worker of marker 2.x finds its servers; "" is none.
type addresses struct{ layout, ocrError, vlm string }

// environment is what marker reads; models and their caches are below cache.
func (c MarkerConfig) environment(cache string, at addresses) map[string]string {
	env := map[string]string{
		"MODEL_CACHE_DIR": filepath.Join(c.Folder(cache), "datalab"), "PDFMILL_MARKER_LLM": c.LLM,
		"PDFMILL_MARKER_DTYPE": c.Dtype, "PDFMILL_MARKER_ATTENTION": c.Attention,
		"FAST_LAYOUT_SERVER_URL": at.layout, "OCR_ERROR_SERVER_URL": at.ocrError, "SURYA_INFERENCE_URL": at.vlm,
		"SURYA_INFERENCE_PARALLEL": strconv.Itoa(min(perRange, c.parallel())),
		"PDFMILL_MARKER_SERVERS":   at.names(),
	}
	if c.Offline {
		env["HF_HUB_OFFLINE"], env["TRANSFORMERS_OFFLINE"] = "1", "1"
	}
	return env
}

// Folder is where weights lie: HF_HOME, with datalab's beside the hub's.
func (c MarkerConfig) Folder(cache string) string {
	return cmp.Or(c.Models, filepath.Join(cache, "models"))
}

// names are those of the servers that a worker may ask.
func (a addresses) names() string {
	var names []string
	for _, s := range []struct{ name, address string }{{"layout", a.layout}, {"ocr_error", a.ocrError}, {"vlm", a.vlm}} {
		if s.address != "" {
			names = append(names, s.name)
		}
	}
	return cmp.Or(strings.Join(names, ","), "none")
}

// ports are those of the servers; nil: there are none.
func (a addresses) ports() *supervise.Ports {
	var ports supervise.Ports
	for _, address := range []string{a.layout, a.ocrError, a.vlm} {
		u, err := url.Parse(address)
		if address == "" || err != nil {
			continue
		}
		port, err := strconv.Atoi(cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]))
		if err == nil {
			ports.Connect = append(ports.Connect, port)
		}
	}
	if ports.Connect == nil {
		return nil
	}
	return &ports
}

// parallel is how many requests one server of the vision language model works on at once.
func (c MarkerConfig) parallel() int {
	switch {
	case c.VLMParallel > 0:
		return c.VLMParallel
	case c.VLMServer == vlmLlamaCPP:
		return 8
	}
	return 64
}

// resolved returns the configuration with the generation of marker that is installed in the place of auto, which stays when none is.
func (c Config) resolved(cache string) Config {
	c.interpreters = &interpreters{}
	switch extra, err := c.extra(job.EngineMarker, pyenv.Config{Dir: cache, Python: c.Python}); {
	case err != nil:
	case extra == ExtraMarker1:
		c.Marker.Generation = "1"
	default:
		c.Marker.Generation = "2"
	}
	return c
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
	why := ""
	for _, extra := range wanted {
		env.Extra = extra
		missing := pyenv.Missing(env)
		if missing == "" {
			return extra, nil
		}
		why = cmp.Or(why, missing)
	}
	return "", failure.New(failure.EngineMissing, "start engine", engine, errors.New(why)).
		WithHint("pdfmill engines install " + wanted[0] + " shows what it takes, and installs it")
}
