package sandbox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
)

const startWait = 3 * time.Minute // a first start compiles PDFium: 3 s on two idle cores, much more on busy ones

// Reasons why a probe gave no answer.
var (
	errLate = errors.New("no answer in time")
	errDied = errors.New("the process that inspects it died")
)

// child is one probe process. It has nothing of this process' environment, and does not outlive it.
type child struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan reply
	quit    chan struct{} // closed by kill: nobody will ask any more
	dead    chan struct{}
	asked   int
	ending  sync.Once
}

type reply struct {
	answer
	err error
}

func (p *Pool) start(ctx context.Context) (*child, error) {
	cmd := exec.Command(p.config.Command[0], p.config.Command[1:]...) //nolint:noctx // it serves many documents: killed by kill
	cmd.Env = []string{"GOMEMLIMIT=256MiB", "GOMAXPROCS=2"}
	cmd.Dir = "/"
	cmd.SysProcAttr = unprivileged.Child(nil) // it becomes the user itself, once PDFium is compiled
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
	if err := unprivileged.Start(cmd); err != nil {
		return nil, unavailable(err)
	}
	c := &child{cmd: cmd, in: in, answers: make(chan reply), quit: make(chan struct{}), dead: make(chan struct{})}
	go c.read(out)
	err = c.send(setup{CacheDir: p.config.CacheDir, Memory: p.config.Memory, CPU: p.config.cpu(), User: p.config.User})
	if err == nil {
		var greeting answer
		if greeting, err = c.await(ctx, startWait); err == nil && greeting.Code == codeReady {
			return c, nil
		}
	}
	c.kill()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("start PDFium probe: %w", ctx.Err())
	}
	return nil, failure.Newf(failure.Unhealthy, "start PDFium probe", p.config.Command[0], "it did not get ready: %v: %s", err, complaint.String())
}

// read passes answers on until the process ends, and reaps it.
func (c *child) read(out io.Reader) {
	defer close(c.dead)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var r reply
		r.err = json.Unmarshal(lines.Bytes(), &r.answer)
		select {
		case c.answers <- r:
		case <-c.quit:
		}
	}
	_ = c.cmd.Process.Kill() // whatever it says now, nobody understands it
	_ = c.cmd.Wait()         // how it ended does not matter: whoever waits for an answer hears that none comes
}

func (c *child) send(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = c.in.Write(append(line, '\n'))
	return err
}

// await returns the next line. The error is errLate, errDied or the context's.
func (c *child) await(ctx context.Context, limit time.Duration) (answer, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case r := <-c.answers:
		if r.err != nil {
			return answer{}, fmt.Errorf("%w: it spoke nonsense: %w", errDied, r.err)
		}
		return r.answer, nil
	case <-c.dead:
		return answer{}, fmt.Errorf("%w: %s", errDied, c.cmd.ProcessState)
	case <-timer.C:
		return answer{}, errLate
	case <-ctx.Done():
		return answer{}, fmt.Errorf("inspect document: %w", ctx.Err())
	}
}

// kill ends the process and waits until it is gone.
func (c *child) kill() {
	c.ending.Do(func() {
		close(c.quit)
		_ = c.in.Close()
		_ = c.cmd.Process.Signal(syscall.SIGKILL) // it may be gone already
	})
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
