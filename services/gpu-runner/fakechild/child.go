package fakechild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

// grandchild is the order to be one.
const grandchild = "grandchild"

type child struct {
	Config
	requests  *os.File // kept, or the collector would close it
	in        *protocol.Reader
	out       *os.File
	say       *protocol.Writer
	converted int
	kept      [][]byte // see Grow
	id        string   // of the conversion in hand
}

// live is the whole life of a child; it returns the exit status.
func (c *child) live() int {
	c.requests, c.out = os.NewFile(protocol.FDRequests, "requests"), os.NewFile(protocol.FDReplies, "replies")
	c.in, c.say = protocol.NewReader(c.requests), protocol.NewWriter(c.out)
	if c.Engine == "" {
		c.Engine = "null"
	}
	if c.Protocol == 0 {
		c.Protocol = protocol.Version
	}
	c.record(os.Getpid())
	if c.Grandchild {
		c.bear()
	}
	if c.startNumber() <= c.FailStarts {
		return 3
	}
	if c.at(AtStart); !c.at(AtHello) {
		c.hello()
	}
	c.waitFor(c.ReadyWhen)
	if !c.at(AtReady) {
		c.tell(&protocol.Ready{LoadSeconds: 0.01})
	}
	c.at(AtIdle)
	for {
		m, err := c.in.Next()
		switch m := m.(type) {
		case nil:
			if !errors.Is(err, io.EOF) {
				fmt.Fprintln(os.Stderr, "fakechild:", err)
				return 2
			}
			return c.leave()
		case *protocol.Convert:
			c.convert(m)
		case *protocol.Probe:
			if !c.at(AtProbe) {
				c.tell(&protocol.Probed{ID: m.ID, OK: !c.ProbeFails, Detail: "1+1=2"})
			}
		case *protocol.Shutdown:
			return c.leave()
		}
	}
}

func (c *child) leave() int {
	c.at(AtShutdown)
	if c.HangOnStop {
		hang()
	}
	return 0
}

func (c *child) convert(m *protocol.Convert) {
	c.id = m.ID
	if c.at(AtConvert) || c.happens(c.OnFile[filepath.Base(m.Path)]) {
		return
	}
	for c.EndlessProgress {
		c.tell(&protocol.Progress{ID: m.ID, Phase: "turning", Total: 1})
		time.Sleep(5 * time.Millisecond)
	}
	if !c.at(AtProgress) && !c.NoProgress {
		c.tell(&protocol.Progress{ID: m.ID, Phase: "faking", Done: 1, Total: m.Last - m.First + 1})
	}
	c.waitFor(c.SlowFile[filepath.Base(m.Path)])
	c.kept = append(c.kept, bytes.Repeat([]byte{1}, c.Grow))
	if c.converted++; c.DieAfter > 0 && c.converted > c.DieAfter {
		os.Exit(4)
	}
	if c.at(AtResult) {
		return
	}
	result := &protocol.Result{ID: m.ID, Images: []protocol.Image{}, Pages: []protocol.Page{}, Seconds: 0.01}
	if c.WrongID {
		result.ID = "c-nobody"
	}
	last := m.Last
	if c.FewerPages {
		last--
	}
	for page := m.First; page <= last; page++ {
		file, text := fmt.Sprintf("page-%04d.md", page), fmt.Sprintf("# page %d\n", page)
		if page == m.First && len(c.Pry) > 0 {
			text = Pry(append([]string{m.Path}, c.Pry...)...)
		}
		if err := os.WriteFile(filepath.Join(m.OutDir, file), []byte(text), 0o600); err != nil {
			c.tell(&protocol.EngineError{ID: m.ID, Class: failure.EngineError, Message: err.Error(), ContextIntact: true})
			return
		}
		result.Pages = append(result.Pages, protocol.Page{Page: page, Status: protocol.PageOK, File: file, Chars: len(text), Warnings: []string{}})
	}
	c.tell(result)
}

// Pry tries what it is ordered to, and says what became of it: see Config.Pry.
func Pry(all ...string) string {
	var said strings.Builder
	for _, what := range all {
		var err error
		if path, makes := strings.CutPrefix(what, "write "); makes {
			err = os.WriteFile(path, nil, 0o600)
		} else if address, connects := strings.CutPrefix(what, "connect "); connects {
			err = reach((&net.Dialer{}).DialContext(context.Background(), "tcp", address))
		} else if address, listens := strings.CutPrefix(what, "listen "); listens {
			var plain net.ListenConfig
			plain.SetMultipathTCP(false)
			err = reach(plain.Listen(context.Background(), "tcp", address))
		} else if pid, signals := strings.CutPrefix(what, "PID "); signals {
			var n int
			if n, err = strconv.Atoi(pid); err == nil {
				err = syscall.Kill(n, 0)
			}
		} else {
			_, err = os.ReadFile(what)
		}
		fmt.Fprintf(&said, "%s: %v\n", what, err)
	}
	return said.String()
}

// reach closes what could be opened.
func reach(c io.Closer, err error) error {
	if err == nil {
		err = c.Close()
	}
	return err
}

// hello is written by hand: the codec refuses to greet with another version.
func (c *child) hello() {
	c.write(fmt.Sprintf(`{"type":"hello","protocol":%d,"pid":%d,"engine":%q,"versions":{"fakechild":"1"},"device":"cpu",`+
		`"capabilities":{"formats":["markdown"],"page_ranges":true,"shared_server":false}}`+"\n", c.Protocol, os.Getpid(), c.Engine))
}

// at lets the fault of a step happen, and reports whether it took the place of what should have been said.
func (c *child) at(step Step) bool {
	if c.Chatter != "" || c.ChatterBytes > 0 {
		line := c.Chatter + strings.Repeat("#", c.ChatterBytes)
		fmt.Fprintf(os.Stdout, "%s: %s\n", step, line)
		fmt.Fprintf(os.Stderr, "%s: %s\n", step, line)
	}
	fault, ordered := c.At[step]
	return ordered && c.happens(fault)
}

func (c *child) happens(f Fault) bool {
	if f.Bump != "" {
		bump(f.Bump)
	}
	switch {
	case f.Exit != nil:
		os.Exit(*f.Exit)
	case f.Signal != 0:
		// A Go program catches some signals whatever it is told; a shell in the same process dies of them as a C library would.
		_ = syscall.Exec("/bin/sh", []string{"sh", "-c", fmt.Sprintf("kill -%d $$", f.Signal)}, os.Environ())
		hang()
	case f.Hang:
		hang()
	case f.CloseOut:
		_ = c.out.Close()
		hang()
	case f.HalfLine:
		c.write(`{"type":"progress","id":`)
		os.Exit(0)
	case f.GiantLine:
		for {
			c.write(strings.Repeat("x", 64<<10))
		}
	case f.Raw != "":
		c.write(f.Raw + "\n")
	case f.Error != "":
		id := c.id
		if id == "" {
			id = "start"
		}
		c.tell(&protocol.EngineError{
			ID: id, Class: failure.Class(f.Error), Message: "ordered", Traceback: "Traceback: ordered", ContextIntact: f.ContextIntact,
		})
	default:
		return false
	}
	return true
}

func (c *child) tell(m protocol.Message) {
	if err := c.say.Write(m); err != nil {
		fmt.Fprintln(os.Stderr, "fakechild:", err)
		os.Exit(2)
	}
}

func (c *child) write(raw string) {
	if _, err := io.WriteString(c.out, raw); err != nil {
		os.Exit(2)
	}
}

func (c *child) waitFor(path string) {
	for path != "" {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// startNumber counts this start and returns its number, from 1.
func (c *child) startNumber() int {
	if c.StateFile == "" {
		return 1
	}
	f, err := os.OpenFile(c.StateFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 1
	}
	defer func() { _ = f.Close() }()
	_, _ = f.WriteString(".")
	info, err := f.Stat()
	if err != nil {
		return 1
	}
	return int(info.Size())
}

func (c *child) record(pid int) {
	if c.PIDFile == "" {
		return
	}
	f, err := os.OpenFile(c.PIDFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		os.Exit(2)
	}
	_, _ = fmt.Fprintln(f, pid)
	_ = f.Close()
}

// bear starts a grandchild that inherits everything, and waits until it ignores signals.
func (c *child) bear() {
	deaf, ready, err := os.Pipe()
	if err != nil {
		os.Exit(2)
	}
	cmd := exec.Command("/proc/self/exe") //nolint:noctx // it is meant to outlive everybody
	cmd.Env = append(os.Environ(), Variable+"="+grandchild)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{c.requests, c.out, ready}
	if c.Stray {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	if err := cmd.Start(); err != nil {
		os.Exit(2)
	}
	_ = ready.Close()
	_, _ = io.ReadAll(deaf)
	c.record(cmd.Process.Pid)
}

// haunt is the life of a grandchild.
func haunt() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	_ = os.NewFile(protocol.FDReplies+1, "ready").Close()
	hang()
}

func hang() {
	for {
		time.Sleep(time.Hour)
	}
}

func bump(path string) {
	raw, _ := os.ReadFile(path)
	n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(string(raw), "oom_kill ")))
	_ = os.WriteFile(path, []byte(fmt.Sprintf("oom_kill %d\n", n+1)), 0o600)
}
