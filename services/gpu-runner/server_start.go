package gpurunner

import (
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
	"github.com/pdfmill/pdfmill/services/gpu-runner/cgroup"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
	"github.com/pdfmill/pdfmill/services/gpu-runner/schedule"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// What the models of servers are asked now and then, to see that they live: a white picture of 32 by 32, and a word.
const whitePNG = "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAGUlEQVR4nGP8z4AfMBGQH1UwqmBUwbBVAACjPQE/b0XQuQAAAABJRU5ErkJggg=="

var (
	layoutTry   = &supervise.Try{Path: "/v1/infer", Body: `{"items": ["` + whitePNG + `"], "params": {}}`}
	ocrErrorTry = &supervise.Try{Path: "/v1/infer", Body: `{"items": ["water"], "params": {}}`}
)

// vlmModel is the name under which workers ask for the vision language model: they refuse a server that serves another.
const vlmModel = "datalab-to/surya-ocr-2"

// vlmTry has a vision language model say one token.
var vlmTry = &supervise.Try{Path: "/v1/chat/completions", Body: `{"model": "` + vlmModel + `", "max_tokens": 1, "messages": [{"role": "user", "content": [` +
	`{"type": "image_url", "image_url": {"url": "data:image/png;base64,` + whitePNG + `"}}, {"type": "text", "text": "Output the layout"}]}]}`}

// maker makes servers that are children of this process.
type maker struct {
	config   Config
	cache    string
	invite   inviter
	registry *supervise.Registry
	groups   *cgroup.Tree
	log      *slog.Logger
}

// arguments are those of `python -m pdfmill_runner.marker.serve` for a server on a device.
type arguments func(device string) ([]string, error)

func (m maker) python(kind string) arguments {
	return func(string) ([]string, error) { return []string{kind}, nil }
}

// server makes a server, or watches somebody else's at url.
func (m maker) server(name, url string, args arguments, guest schedule.Guest, try *supervise.Try) (*supervise.Server, error) {
	config := supervise.ServerConfig{Name: name, URL: url, Try: try, Log: m.log, Registry: m.registry, Groups: m.groups}
	if url != "" {
		config.Try = nil // what others pay for is not asked for nothing
		return supervise.NewServer(config)
	}
	var server *supervise.Server
	guest.Name = name
	guest.Leave = func(reason string) { server.Leave(reason) }
	config.Room = func(ctx context.Context) (string, func(), error) {
		stay, err := m.invite(ctx, guest)
		return stay.Device, stay.End, err
	}
	config.Launch = func(ctx context.Context, port int, device string) (supervise.Command, error) {
		more, err := args(device)
		if err != nil {
			return supervise.Command{}, err
		}
		env, err := install(ctx, job.EngineMarker, m.config, m.cache, supervise.Launch{}, m.log)
		if err != nil {
			return supervise.Command{}, err
		}
		user, err := m.config.underling.runs(ctx, env.Python, m.config.Scratch)
		if err != nil {
			return supervise.Command{}, err
		}
		call := append([]string{"-m", "pdfmill_runner.marker.serve", "--port", strconv.Itoa(port)}, more...)
		made := supervise.Command{Path: env.Python, Args: call, Env: m.environment(device, user).List(), User: user}
		m.config.confine(&made, !m.config.Marker.Offline, device, &supervise.Ports{Listen: []int{port}})
		if slices.Contains([]string{vlmVLLM, vlmLlamaCPP}, more[0]) { // what a program of the operator's reads is not known, nor whom its processes talk to
			return made, nil
		}
		return made, m.config.enclose(ctx, &made, m.cache, device)
	}
	server, err := supervise.NewServer(config)
	return server, err
}

// environment is all that a server gets of ours.
func (m maker) environment(device string, user *unprivileged.User) supervise.Environment {
	env := surroundings(m.config, m.cache, user)
	env.Device, env.VisibleDevices, env.Threads = "cpu", noGPU, runtime.NumCPU()
	env.More = m.config.Marker.environment(m.cache, addresses{})
	if device != "" {
		env.Device, env.VisibleDevices = "cuda", device
	}
	env.More["FAST_DETECTOR_DEVICE"] = env.Device
	env.More["VLLM_NO_USAGE_STATS"], env.More["DO_NOT_TRACK"] = "1", "1"
	return env
}

// noGPU hides all of them.
const noGPU = "-1"

// vlms makes a server of the vision language model for each GPU, or one on the CPU.
func (m maker) vlms(gpus []devices.Reading) (out []*supervise.Server, err error) {
	c := m.config.Marker
	totals := map[string]int64{}
	guests := []schedule.Guest{{Host: c.VLMMemory}}
	if c.VLMMemory == 0 {
		guests[0].Host = vlmHost
	}
	if len(gpus) > 0 {
		guests = nil
	}
	for _, g := range gpus {
		guest := schedule.Guest{Device: g.ID, Bytes: c.VLMMemory, Beside: besideGPU}
		if guest.Bytes == 0 {
			guest.Bytes = int64(vlmPart * float64(g.Total))
		}
		totals[g.ID] = g.Total
		guests = append(guests, guest)
	}
	for i, guest := range guests {
		name := "vlm"
		if len(guests) > 1 {
			name = fmt.Sprintf("vlm-%d", i)
		}
		one, err := m.server(name, "", func(device string) ([]string, error) {
			return m.vlmArguments(device, float64(guest.Bytes)/float64(max(1, totals[device])))
		}, guest, vlmTry)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// vlmArguments say how to start a server of the vision language model that takes a part of its device's memory.
func (m maker) vlmArguments(device string, part float64) ([]string, error) {
	c := m.config.Marker
	program := c.VLMProgram
	if program == "" {
		program = map[string]string{vlmVLLM: "vllm", vlmLlamaCPP: "llama-server"}[c.VLMServer]
	}
	missing := func(err error, hint string) error {
		return failure.New(failure.EngineMissing, "start the vision language model with", program, err).WithHint(hint)
	}
	path, err := exec.LookPath(program)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, missing(err, "install it, name it with --marker-vlm-program, or run the model elsewhere and say where with --marker-vlm-url")
	}
	if c.VLMServer == vlmVLLM && device == "" {
		return nil, missing(fmt.Errorf("there is no GPU here, and vLLM needs one"), "use --marker-vlm-server llamacpp, or --marker-vlm-url")
	}
	args := []string{c.VLMServer, "--program", path, "--parallel", strconv.Itoa(c.parallel())}
	if c.VLMServer == vlmVLLM {
		args = append(args, "--memory", strconv.FormatFloat(part, 'f', 3, 64))
	}
	return append(append(args, "--"), c.VLMArgs...), nil
}

// lesser reports whether a page came out otherwise than asked.
func lesser(p protocol.Page) bool {
	return p.Status == event.PageFailed || p.Engine != "" || strings.Contains(strings.Join(p.Warnings, " "), "degraded")
}
