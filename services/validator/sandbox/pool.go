package sandbox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/validator/facts"
)

// Config says how probes are started.
type Config struct {
	Command  []string      // program and arguments of a process that calls Main
	CacheDir string        // for compiled code (21 MB), private to the user; "" compiles at each start (3 s)
	Memory   int64         // bytes of a sandbox; default 256 MiB
	Limit    time.Duration // for one document; default 20 s
	Probes   int           // at once
	Recycle  int           // documents after which a probe is replaced; default 500
}

// CacheDir is where compiled code belongs below the folder for what can be made again.
func CacheDir(cache string) string { return filepath.Join(cache, "wasm") }

// Errors that say what the sandbox found.
var (
	ErrPassword = errors.New("it can't be opened without a password")
	ErrHandler  = errors.New("it is encrypted with a security handler that PDFium does not know")
	ErrFormat   = errors.New("PDFium can't open it")
)

const startWait = time.Minute // a first start compiles PDFium: 4 s on two idle cores

// Pool keeps probes and hands each document to one.
type Pool struct {
	config Config
	log    *slog.Logger
	slots  chan struct{}

	mu     sync.Mutex
	idle   []*child
	closed bool
}

// NewPool returns a pool without probes; they start when there is something to look at, or with Warm.
func NewPool(c Config, log *slog.Logger) (*Pool, error) {
	if len(c.Command) == 0 {
		return nil, errors.New("no command to start a PDFium probe with")
	}
	if c.Memory == 0 {
		c.Memory = 256 << 20
	}
	if c.Limit == 0 {
		c.Limit = 20 * time.Second
	}
	if c.Recycle == 0 {
		c.Recycle = 500
	}
	if c.CacheDir != "" {
		if err := os.MkdirAll(c.CacheDir, 0o700); err != nil {
			return nil, fmt.Errorf("folder for compiled code: %w", err)
		}
	}
	return &Pool{config: c, log: log, slots: make(chan struct{}, max(c.Probes, 1))}, nil
}

// Warm starts one probe, so that the first document does not wait for it.
func (p *Pool) Warm(ctx context.Context) error {
	c, err := p.start(ctx)
	if err != nil {
		return err
	}
	p.giveBack(c)
	return nil
}

// Close ends all probes.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		c.kill()
	}
	p.idle = nil
}

// Probe opens the document at path (absolute) and returns what is to know about it. The error wraps ErrPassword, ErrHandler or ErrFormat, or is a
// *failure.Error: limit-time or limit-memory, when the document broke that bound twice, each time in a fresh probe; unhealthy when no probe can be had.
func (p *Pool) Probe(ctx context.Context, path string, maxPages int) (facts.Facts, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return facts.Facts{}, fmt.Errorf("wait for a PDFium probe: %w", ctx.Err())
	}
	f, err := p.once(ctx, path, maxPages)
	if (failure.ClassOf(err, "") == "") || ctx.Err() != nil {
		return f, err
	}
	// A bound was broken, or the probe died: it may have been the document before, or the machine. A fresh one tells.
	p.dropIdle()
	return p.once(ctx, path, maxPages)
}

func (p *Pool) once(ctx context.Context, path string, maxPages int) (facts.Facts, error) {
	c, err := p.take(ctx)
	if err != nil {
		return facts.Facts{}, err
	}
	a, err := c.ask(ctx, question{Path: path, MaxPages: maxPages}, p.config.Limit)
	if err != nil || a.Last || c.asked >= p.config.Recycle {
		c.kill()
	} else {
		p.giveBack(c)
	}
	if err != nil {
		return facts.Facts{}, err
	}
	switch a.Code {
	case codeOK:
		return a.Facts, nil
	case codePassword:
		return a.Facts, ErrPassword
	case codeHandler:
		return a.Facts, ErrHandler
	case codeFormat:
		return a.Facts, ErrFormat
	case codeUnopened:
		return a.Facts, failure.Newf(failure.Unhealthy, "open", path, "%s", a.Detail)
	case codeOutOfRoom:
		return a.Facts, failure.Newf(failure.LimitMemory, "open document", "", "it needs more than the %d bytes that its inspection may take", p.config.Memory)
	}
	return a.Facts, failure.Newf(failure.PDFCorrupt, "open document", "", "it breaks PDFium: %s", a.Detail)
}

func (p *Pool) take(ctx context.Context) (*child, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	return p.start(ctx)
}

func (p *Pool) giveBack(c *child) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.kill()
		return
	}
	p.idle = append(p.idle, c)
}

func (p *Pool) dropIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.kill()
	}
	p.idle = nil
}

// child is one probe process. It has nothing of this process' environment, and does not outlive it.
type child struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan reply
	dead    chan struct{}
	asked   int
}

type reply struct {
	answer
	err error
}

func (p *Pool) start(ctx context.Context) (*child, error) {
	cmd := exec.Command(p.config.Command[0], p.config.Command[1:]...) //nolint:noctx // it serves many documents: killed by kill
	cmd.Env = []string{"GOMEMLIMIT=256MiB", "GOMAXPROCS=2"}
	cmd.Dir = "/"
	cmd.SysProcAttr = attributes()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, unavailable(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, unavailable(err)
	}
	var complaint tail
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		return nil, unavailable(err)
	}
	c := &child{cmd: cmd, in: in, answers: make(chan reply), dead: make(chan struct{})}
	go c.read(out)
	var greeting answer
	if err := c.send(setup{CacheDir: p.config.CacheDir, Memory: p.config.Memory}); err == nil {
		greeting, err = c.await(ctx, startWait)
		if err == nil && greeting.Code == codeOK {
			return c, nil
		}
	}
	c.kill()
	return nil, failure.Newf(failure.Unhealthy, "start PDFium probe", p.config.Command[0], "it did not get ready: %s", complaint.String())
}

// read passes answers on until the process ends, and reaps it.
func (c *child) read(out io.Reader) {
	defer close(c.dead)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r reply
		r.err = json.Unmarshal(lines.Bytes(), &r.answer)
		select {
		case c.answers <- r:
		case <-time.After(startWait): // nobody asked: a probe that talks by itself is broken
			_ = c.cmd.Process.Kill()
		}
	}
	_ = c.cmd.Wait() // how it ended does not matter: whoever waits for an answer hears that none comes
}

func (c *child) send(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = c.in.Write(append(line, '\n'))
	return err
}

func (c *child) ask(ctx context.Context, q question, limit time.Duration) (answer, error) {
	c.asked++
	if err := c.send(q); err != nil {
		return answer{}, unavailable(err)
	}
	return c.await(ctx, limit)
}

func (c *child) await(ctx context.Context, limit time.Duration) (answer, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case r := <-c.answers:
		if r.err != nil {
			return answer{}, unavailable(r.err)
		}
		return r.answer, nil
	case <-c.dead:
		return answer{}, failure.Newf(failure.LimitMemory, "open document", "", "the process that inspects it died: %s", c.cmd.ProcessState)
	case <-timer.C:
		return answer{}, failure.Newf(failure.LimitTime, "open document", "", "its inspection takes longer than %s", limit)
	case <-ctx.Done():
		return answer{}, fmt.Errorf("inspect document: %w", ctx.Err())
	}
}

// kill ends the process and waits until it is gone.
func (c *child) kill() {
	_ = c.in.Close()
	_ = c.cmd.Process.Signal(syscall.SIGKILL) // it may be gone already
	<-c.dead
}

func unavailable(err error) error {
	return failure.New(failure.Unhealthy, "inspect document", "", err).WithHint("the PDFium probe can't be started or reached: see pdfmill doctor")
}

// tail keeps the beginning of what a probe complains about; the rest would only repeat it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p[:min(len(p), max(0, 4096-len(t.text)))]...)
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
