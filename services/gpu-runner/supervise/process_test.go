package supervise

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/fakechild"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

type faults = map[fakechild.Step]fakechild.Fault

func start(t *testing.T, cfg Config) *Process {
	t.Helper()
	p, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatalf("start: %v\n%s", err, failure.DetailOf(err))
	}
	t.Cleanup(func() {
		p.Kill(errors.New("the test is over"))
		<-p.Done()
	})
	return p
}

func TestConvertProbeAndStop(t *testing.T) {
	p := start(t, config(fakechild.Config{Engine: "text"}))
	if info := p.Info(); info.Hello.Engine != "text" || info.PID != info.Hello.PID || info.Ready.LoadSeconds <= 0 {
		t.Errorf("info %+v", info)
	}
	if p.RSS() <= 0 {
		t.Error("no resident memory")
	}
	for range 3 {
		r := request(t, "c-1", "a.pdf")
		var seen []protocol.Progress
		result, err := p.Convert(t.Context(), r, func(m protocol.Progress) { seen = append(seen, m) })
		if err != nil || len(result.Pages) != 3 || len(seen) != 1 || seen[0].Total != 3 {
			t.Fatalf("%+v, progress %+v, %v", result, seen, err)
		}
		if text, err := os.ReadFile(filepath.Join(r.OutDir, result.Pages[2].File)); err != nil || string(text) != "# page 3\n" {
			t.Errorf("page 3: %q, %v", text, err)
		}
	}
	if detail, err := p.Probe(t.Context(), patience); err != nil || detail == "" {
		t.Errorf("probe: %q, %v", detail, err)
	}
	if err := p.Stop(patience); err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := p.Convert(t.Context(), request(t, "c-2", "a.pdf"), nil); !errors.Is(err, ErrGone) {
		t.Errorf("convert after stop: %v", err)
	}
}

func TestStartFailures(t *testing.T) {
	for name, c := range map[string]struct {
		child fakechild.Config
		class failure.Class
		says  string
	}{
		"exits at once":        {fakechild.Config{At: faults{fakechild.AtStart: fakechild.ExitWith(7)}}, failure.Crash, "status 7"},
		"dies of a signal":     {fakechild.Config{At: faults{fakechild.AtReady: {Signal: int(syscall.SIGSEGV)}}}, failure.Crash, "signal 11"},
		"another version":      {fakechild.Config{Protocol: 99}, failure.EngineMissing, "99"},
		"another engine":       {fakechild.Config{Engine: "marker"}, failure.EngineMissing, "marker"},
		"half a line":          {fakechild.Config{At: faults{fakechild.AtHello: {HalfLine: true}}}, failure.Crash, "status 0"},
		"a giant line":         {fakechild.Config{At: faults{fakechild.AtHello: {GiantLine: true}}}, failure.Crash, "1048576"},
		"not the protocol":     {fakechild.Config{At: faults{fakechild.AtHello: {Raw: "Hello!"}}}, failure.Crash, "Hello!"},
		"ready before hello":   {fakechild.Config{At: faults{fakechild.AtHello: {Raw: `{"type":"ready","load_seconds":1,"memory":{"device_allocated":0,"device_reserved":0,"host_rss":0}}`}}}, failure.Crash, "ready"},
		"an engine's own word": {fakechild.Config{At: faults{fakechild.AtReady: {Error: "engine-missing"}}}, failure.EngineMissing, "ordered"},
		"closes its voice":     {fakechild.Config{At: faults{fakechild.AtHello: {CloseOut: true}}}, failure.Crash, "lives on"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.child.PIDFile, c.child.Chatter = inDir(t, "pids"), "last words"
			cfg := config(c.child)
			cfg.Engine = "null"
			p, err := Start(t.Context(), cfg)
			if err == nil {
				p.Kill(err)
				t.Fatal("it started")
			}
			if failure.ClassOf(err, "") != c.class || !strings.Contains(err.Error(), c.says) {
				t.Errorf("class %q, want %q: %v", failure.ClassOf(err, ""), c.class, err)
			}
			if c.child.At != nil && !strings.Contains(failure.DetailOf(err), "last words") {
				t.Errorf("the worker's output is missing: %q", failure.DetailOf(err))
			}
			allGone(t, c.child.PIDFile)
		})
	}
}

func TestStartTimeouts(t *testing.T) {
	for step, want := range map[fakechild.Step]string{fakechild.AtHello: "no hello", fakechild.AtReady: "no ready"} {
		t.Run(string(step), func(t *testing.T) {
			t.Parallel()
			child := fakechild.Config{At: faults{step: {Hang: true}}, PIDFile: inDir(t, "pids")}
			cfg := config(child)
			if cfg.LoadTimeout = 100 * time.Millisecond; step == fakechild.AtHello {
				cfg.HelloTimeout = 100 * time.Millisecond
			}
			_, err := Start(t.Context(), cfg)
			if failure.ClassOf(err, "") != failure.Timeout || !strings.Contains(err.Error(), want) || errors.Is(err, ErrNoHello) != (step == fakechild.AtHello) {
				t.Errorf("%v", err)
			}
			allGone(t, child.PIDFile)
		})
	}
}

func TestStartRefusesWhatMustNotRun(t *testing.T) {
	good := config(fakechild.Config{})
	for name, c := range map[string]Command{
		"secrets":        {Path: good.Command.Path, Env: []string{"NATS_PASSWORD=x"}},
		"relative":       {Path: "python3"},
		"missing":        {Path: "/nonexistent/python3"},
		"not executable": {Path: "/etc/passwd"},
	} {
		cfg := good
		cfg.Command = c
		if _, err := Start(t.Context(), cfg); failure.ClassOf(err, "") != failure.EngineMissing {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	child := fakechild.Config{At: faults{fakechild.AtHello: {Hang: true}}, PIDFile: inDir(t, "pids")}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := Start(ctx, config(child))
		result <- err
	}()
	pipelinetest.Eventually(t, "the child runs", func() bool { return len(pidsIn(t, child.PIDFile)) == 1 })
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	allGone(t, child.PIDFile)
}

func TestConvertFailures(t *testing.T) {
	oom := filepath.Join(t.TempDir(), "memory.events")
	if err := os.WriteFile(oom, []byte("oom_kill 4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		child   fakechild.Config
		request func(*Request)
		class   failure.Class
		says    string
		lives   bool
	}{
		"exit":              {child: at(fakechild.AtConvert, fakechild.ExitWith(0)), class: failure.Crash, says: "status 0"},
		"exit at result":    {child: at(fakechild.AtResult, fakechild.ExitWith(9)), class: failure.Crash, says: "status 9"},
		"signal":            {child: at(fakechild.AtProgress, fakechild.Fault{Signal: int(syscall.SIGABRT)}), class: failure.Crash, says: "signal 6"},
		"killed":            {child: at(fakechild.AtConvert, fakechild.Fault{Signal: int(syscall.SIGKILL)}), class: failure.Crash, says: "signal 9"},
		"killed for memory": {child: at(fakechild.AtConvert, fakechild.Fault{Signal: int(syscall.SIGKILL), Bump: oom}), class: failure.HostOOM, says: "memory ran out"},
		"half a line":       {child: at(fakechild.AtResult, fakechild.Fault{HalfLine: true}), class: failure.Crash, says: "status 0"},
		"a giant line":      {child: at(fakechild.AtResult, fakechild.Fault{GiantLine: true}), class: failure.Crash, says: "1048576"},
		"not the protocol":  {child: at(fakechild.AtProgress, fakechild.Fault{Raw: "Processing… 12%"}), class: failure.Crash, says: "Processing"},
		"a second hello":    {child: at(fakechild.AtProgress, fakechild.Fault{Raw: `{"type":"probed","id":"x","ok":true,"detail":""}`}), class: failure.Crash, says: "probed"},
		"another's result":  {child: fakechild.Config{WrongID: true}, class: failure.Crash, says: "out of turn"},
		"a page too few":    {child: fakechild.Config{FewerPages: true}, class: failure.EngineError, says: "2 pages for a range of 3"},
		"hangs":             {child: at(fakechild.AtConvert, fakechild.Fault{Hang: true}), request: silence, class: failure.Timeout, says: "silent"},
		"hangs later":       {child: at(fakechild.AtResult, fakechild.Fault{Hang: true}), request: silence, class: failure.Timeout, says: "faking 1/3"},
		"never done":        {child: fakechild.Config{EndlessProgress: true}, request: total, class: failure.Timeout, says: "not done"},
		"closes its voice":  {child: at(fakechild.AtConvert, fakechild.Fault{CloseOut: true}), class: failure.Crash, says: "lives on"},
		"device assert":     {child: at(fakechild.AtConvert, fakechild.Fault{Error: "device-assert", ContextIntact: true}), class: failure.DeviceAssert, says: "ordered"},
		"context lost":      {child: at(fakechild.AtConvert, fakechild.Fault{Error: "engine-error"}), class: failure.EngineError, says: "ordered"},
		"model bug":         {child: at(fakechild.AtConvert, fakechild.Fault{Error: "model-bug", ContextIntact: true}), class: failure.ModelBug, says: "ordered", lives: true},
		"oom":               {child: at(fakechild.AtConvert, fakechild.Fault{Error: "oom", ContextIntact: true}), class: failure.OOM, says: "ordered", lives: true},
		"never sendable":    {request: func(r *Request) { r.Path = "relative.pdf" }, class: failure.InvalidMessage, says: "relative.pdf", lives: true},
	} {
		t.Run(name, func(t *testing.T) {
			c.child.Chatter, c.child.PIDFile = "last words", inDir(t, "pids")
			c.child.Grandchild = !c.child.At[fakechild.AtConvert].CloseOut // it would hold the pipe open, and only silence would tell
			cfg := config(c.child)
			cfg.OOM = NewOOMCounter(oom)
			p := start(t, cfg)
			r := request(t, "c-1", "a.pdf")
			if c.request != nil {
				c.request(&r)
			}
			_, err := p.Convert(t.Context(), r, nil)
			if failure.ClassOf(err, "") != c.class || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("class %q, want %q: %v", failure.ClassOf(err, ""), c.class, err)
			}
			if c.says == "ordered" {
				var engine *EngineFailure
				if !errors.As(err, &engine) || !strings.Contains(failure.DetailOf(err), "Traceback: ordered") {
					t.Errorf("the engine's evidence is missing: %#v\n%s", err, failure.DetailOf(err))
				}
			}
			if !c.lives && !strings.Contains(failure.DetailOf(err), "convert: last words") {
				t.Errorf("the worker's output is missing: %q", failure.DetailOf(err))
			}
			if c.lives {
				if _, err := p.Probe(t.Context(), patience); err != nil {
					t.Errorf("it should have lived: %v", err)
				}
				return
			}
			<-p.Done()
			if c.child.Grandchild && len(pidsIn(t, c.child.PIDFile)) != 2 {
				t.Errorf("pids %v: want a child and a grandchild", pidsIn(t, c.child.PIDFile))
			}
			allGone(t, c.child.PIDFile)
			if _, err := p.Convert(t.Context(), request(t, "c-2", "a.pdf"), nil); !errors.Is(err, ErrGone) {
				t.Errorf("it was used again: %v", err)
			}
		})
	}
}

func at(step fakechild.Step, f fakechild.Fault) fakechild.Config {
	return fakechild.Config{At: faults{step: f}}
}

func silence(r *Request) { r.Silence = 200 * time.Millisecond }
func total(r *Request)   { r.Total = 200 * time.Millisecond }

func TestExitIsInTheChain(t *testing.T) {
	p := start(t, config(at(fakechild.AtConvert, fakechild.Fault{Signal: int(syscall.SIGBUS)})))
	_, err := p.Convert(t.Context(), request(t, "c", "a.pdf"), nil)
	var exit *Exit
	if !errors.As(err, &exit) || exit.Signal != syscall.SIGBUS {
		t.Errorf("%#v", err)
	}
}

func TestConvertEndsWithItsContext(t *testing.T) {
	p := start(t, config(at(fakechild.AtResult, fakechild.Fault{Hang: true})))
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the message was taken away")
	_, err := p.Convert(ctx, request(t, "c", "a.pdf"), func(protocol.Progress) { cancel(why) })
	if !errors.Is(err, why) || failure.ClassOf(err, "none") != "none" {
		t.Errorf("%v", err)
	}
	<-p.Done()
}

func TestDeathWhileIdle(t *testing.T) {
	p := start(t, config(at(fakechild.AtIdle, fakechild.ExitWith(5))))
	<-p.Done()
	if err := p.Err(); failure.ClassOf(err, "") != failure.Crash || !strings.Contains(err.Error(), "status 5") {
		t.Errorf("%v", err)
	}
	if err := p.Stop(patience); err == nil {
		t.Error("stopping a dead worker says nothing of its death")
	}
}

func TestSpeakingWhileIdleEndsAWorker(t *testing.T) {
	p := start(t, config(at(fakechild.AtIdle, fakechild.Fault{Raw: `{"type":"progress","id":"c-0","phase":"x","done":0,"total":0}`})))
	pipelinetest.Eventually(t, "the worker is found out", func() bool {
		_, err := p.Convert(t.Context(), request(t, "c-1", "a.pdf"), nil)
		return errors.Is(err, ErrGone) || failure.ClassOf(err, "") == failure.Crash
	})
	<-p.Done()
}

func TestProbeFailures(t *testing.T) {
	for name, c := range map[string]fakechild.Config{
		"says no":   {ProbeFails: true},
		"is silent": at(fakechild.AtProbe, fakechild.Fault{Hang: true}),
		"error":     at(fakechild.AtProbe, fakechild.Fault{Error: "engine-error", ContextIntact: true}),
		"dies":      at(fakechild.AtProbe, fakechild.ExitWith(1)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, config(c))
			limit := patience
			if name == "is silent" {
				limit = 100 * time.Millisecond
			}
			_, err := p.Probe(t.Context(), limit)
			if class := failure.ClassOf(err, ""); class != failure.Unhealthy && class != failure.Crash {
				t.Errorf("%v", err)
			}
			<-p.Done()
		})
	}
}

func TestStopKillsWhatWillNotGo(t *testing.T) {
	for name, c := range map[string]fakechild.Config{
		"hangs on stop":          {HangOnStop: true, Grandchild: true},
		"leaves a grandchild":    {Grandchild: true},
		"never reads":            {At: faults{fakechild.AtIdle: {Hang: true}}},
		"fails on its way out":   {At: faults{fakechild.AtShutdown: fakechild.ExitWith(3)}},
		"crashes on its way out": {At: faults{fakechild.AtShutdown: {Signal: 11}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.PIDFile = inDir(t, "pids")
			p := start(t, config(c))
			grace := patience
			if c.HangOnStop || name == "never reads" {
				grace = 100 * time.Millisecond
			}
			if err := p.Stop(grace); (err == nil) != (name == "leaves a grandchild") {
				t.Errorf("stop: %v", err)
			}
			allGone(t, c.PIDFile)
		})
	}
}

func TestChatterOnStdoutIsHarmless(t *testing.T) {
	var log lockedBuffer
	cfg := config(fakechild.Config{Chatter: `{"type":"hello"} `, ChatterBytes: 300_000})
	cfg.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p := start(t, cfg)
	for range 5 {
		if _, err := p.Convert(t.Context(), request(t, "c", "a.pdf"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Stop(patience); err != nil {
		t.Fatal(err)
	}
	if n := len(p.tail.String()); n == 0 || n > tailBytes {
		t.Errorf("%d bytes of output kept", n)
	}
	for line := range strings.Lines(log.String()) {
		if len(line) > 3*logBytes {
			t.Errorf("a line of %d bytes reached the log", len(line))
		}
	}
	if !strings.Contains(log.String(), "bytes_left_out") {
		t.Error("the log doesn't say that a line was cut")
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestTailKeepsTheEnd(t *testing.T) {
	ring := newTail(10)
	for _, part := range []string{"abc", "", "defgh", "ij", "klm", strings.Repeat("x", 25), "é!"} {
		_, _ = ring.Write([]byte(part))
	}
	if got := ring.String(); got != "xxxxxxxé!" {
		t.Errorf("kept %q", got)
	}
	one := newTail(3)
	_, _ = one.Write([]byte("aé!")) // the cut falls into a rune
	if got := one.String(); got != "é!" {
		t.Errorf("kept %q", got)
	}
}

func TestOOMCounterClaimsEachKillOnce(t *testing.T) {
	file := inDir(t, "memory.oom_control")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n")
	c := NewOOMCounter(file)
	if c.Claim() {
		t.Error("claimed a kill from before")
	}
	write("oom_kill_disable 0\nunder_oom 0\noom_kill 8\n")
	if !c.Claim() || c.Claim() {
		t.Error("one kill must be claimed exactly once")
	}
	if (*OOMCounter)(nil).Claim() || NewOOMCounter(inDir(t, "none")).Claim() {
		t.Error("claimed without a counter")
	}
	if NewOOMCounter("").path == "" {
		t.Error("no counter found on this machine")
	}
}
