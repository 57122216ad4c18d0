package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
	"github.com/pdfmill/pdfmill/services/gpu-runner/fakechild"
)

// prison is a folder for the cells of workers of the user that root's are.
type prison struct {
	dir, program string
	user         *unprivileged.User
}

func newPrison(t *testing.T) prison {
	t.Helper()
	dir, err := os.MkdirTemp("", "pdfmill-cell-") // where everybody may pass, as a test's own folder is not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	user, err := unprivileged.Find(unprivileged.Auto)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "worker")
	content, err := os.ReadFile(config(fakechild.Config{}).Command.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(dir, 0o711), os.Mkdir(filepath.Join(dir, "cells"), 0o711), os.WriteFile(program, content, 0o700), os.Chmod(program, 0o755)); err != nil {
		t.Fatal(err)
	}
	return prison{dir, program, user}
}

func (p prison) inmate(c fakechild.Config) Config {
	cfg := config(c)
	cfg.Command.Path, cfg.Command.User, cfg.Command.Confined, cfg.Command.Cell = p.program, p.user, true, filepath.Join(p.dir, "cells")
	return cfg
}

// expect has a worker convert a document, and compares what it says of what it pried into. It is what the line ends with.
func (p prison) expect(t *testing.T, worker *Process, want map[string]string) {
	t.Helper()
	r := request(t, "c-1", "a.pdf")
	r.Path, r.OutDir = filepath.Join(p.dir, "a.pdf"), filepath.Join(p.dir, "out")
	if err := errors.Join(os.WriteFile(r.Path, []byte("%PDF"), 0o600), p.user.Read(r.Path), os.Mkdir(r.OutDir, 0o700), p.user.Own(r.OutDir)); err != nil {
		t.Fatal(err)
	}
	result, err := worker.Convert(t.Context(), r, nil)
	if err != nil || len(result.Pages) != 3 {
		t.Fatalf("%+v, %v", result, err)
	}
	said, err := os.ReadFile(filepath.Join(r.OutDir, result.Pages[0].File))
	if err != nil {
		t.Fatal(err)
	}
	for what, became := range want {
		line := ""
		for l := range strings.Lines(string(said)) {
			if strings.HasPrefix(l, what+": ") {
				line = l
			}
		}
		if !strings.HasSuffix(line, became+"\n") {
			t.Errorf("%s: %q, want %s", what, line, became)
		}
	}
	if left, err := os.ReadDir(worker.cell); err != nil || len(left) > 0 {
		t.Errorf("left in the cell: %v, %v", left, err)
	}
	if err := errors.Join(os.RemoveAll(r.OutDir), os.Remove(r.Path)); err != nil {
		t.Fatal(err)
	}
}

// TestAWorkerInACell reads its own document and writes its own results. What another worker of the same user works on, what the service has, and who else there is, the
// kernel keeps from it, where it knows how. One on a GPU may name its threads besides.
func TestAWorkerInACell(t *testing.T) {
	for what, gpu := range map[string]bool{"without a GPU": false, "on a GPU": true} {
		t.Run(what, func(t *testing.T) { inACell(t, gpu) })
	}
}

func inACell(t *testing.T, gpu bool) {
	cells := newPrison(t)
	user, secret := cells.user, filepath.Join(cells.dir, "secret")
	if err := errors.Join(os.WriteFile(secret, []byte("x"), 0o600), user.Own(secret)); err != nil {
		t.Fatal(err)
	}
	other := start(t, cells.inmate(fakechild.Config{}))
	theirs := filepath.Join(other.cell, "page.md")
	if err := errors.Join(os.WriteFile(theirs, []byte("x"), 0o600), user.Own(theirs)); err != nil {
		t.Fatal(err)
	}
	version, unable := Landlock()
	refusal := "permission denied"
	if unable != nil {
		t.Log(unable)
		refusal = "<nil>"
	}
	want := map[string]string{
		theirs: refusal, secret: refusal, fmt.Sprintf("/proc/%d/environ", other.Info().PID): refusal, "write " + filepath.Join(other.cell, "x"): refusal,
		"write " + filepath.Join(os.TempDir(), fmt.Sprintf("pdfmill-written-%d", os.Getpid())): refusal, "/etc/passwd": "<nil>",
		fmt.Sprintf("/proc/%d/mem", other.Info().PID): refusal, "write /proc/sys/kernel/core_pattern": "permission denied", "write /proc/self/comm": "<nil>",
	}
	if !gpu && user != nil {
		want["write /proc/self/comm"] = refusal
	}
	if version >= 6 {
		want[fmt.Sprintf("PID %d", other.Info().PID)] = "operation not permitted"
	}
	var pry []string
	for what := range want {
		pry = append(pry, what)
	}
	cfg := cells.inmate(fakechild.Config{Pry: pry})
	cfg.Command.GPU = gpu
	p := start(t, cfg)
	if p.cell == other.cell {
		t.Fatal("two workers share a cell")
	}
	want[filepath.Join(p.cell, "a.pdf")] = "<nil>"
	for range 2 { // it is the same worker the second time
		cells.expect(t, p, want)
	}
	if err := p.Stop(patience); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(p.cell); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its cell stays behind: %v", err)
	}
}

// TestAWorkerThatAsksServers has the network for them, and no other port of it.
func TestAWorkerThatAsksServers(t *testing.T) {
	server, other := listener(t), listener(t)
	refusal := "permission denied"
	if version, _ := Landlock(); version < 4 {
		refusal = "<nil>"
	}
	want := map[string]string{"connect " + server.String(): "<nil>", "connect " + other.String(): refusal, "listen 127.0.0.1:0": refusal, "/etc/hosts": "<nil>"}
	var pry []string
	for what := range want {
		pry = append(pry, what)
	}
	cells := newPrison(t)
	cfg := cells.inmate(fakechild.Config{Pry: pry})
	cfg.Command.Ports = &Ports{Connect: []int{server.Port}}
	p := start(t, cfg)
	cells.expect(t, p, want)
	if status, err := os.ReadFile(procPath(p.Info().PID, "status")); err != nil || !strings.Contains(string(status), "NoNewPrivs:\t1") {
		t.Errorf("%v, %s", err, status)
	}
}

func listener(t *testing.T) *net.TCPAddr {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr)
}

// TestAServerInACell answers at its port. It reaches no other, nor any file but its own.
func TestAServerInACell(t *testing.T) {
	cells, other := newPrison(t), listener(t)
	if err := os.WriteFile(filepath.Join(cells.dir, "secret"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := server(t, func(c *ServerConfig) {
		launch := c.Launch
		c.Launch = func(ctx context.Context, port int, device string) (Command, error) {
			made, err := launch(ctx, port, device)
			made.Path, made.User, made.Confined, made.Cell = cells.program, cells.user, true, filepath.Join(cells.dir, "cells")
			made.Ports = &Ports{Listen: []int{port}}
			return made, err
		}
	})
	s.Start()
	if _, err := s.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(procPath(s.Snapshot().PID, "status"))
	if err != nil || !strings.Contains(string(status), "NoNewPrivs:\t1") {
		t.Errorf("%v, %s", err, status)
	}
	version, _ := Landlock()
	for what, since := range map[string]int{filepath.Join(cells.dir, "secret"): 1, "connect " + other.String(): 4, "listen 127.0.0.1:0": 4} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/pry?"+url.Values{"at": {what}}.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if refused := strings.HasSuffix(string(said), "permission denied\n"); err != nil || refused != (version >= since || cells.user != nil && since == 1) {
			t.Errorf("%s, %v", said, err)
		}
	}
	if made, err := os.ReadDir(filepath.Join(cells.dir, "cells")); err != nil || len(made) != 1 {
		t.Errorf("%v, %v", made, err)
	}
	s.Stop()
	if left, err := os.ReadDir(filepath.Join(cells.dir, "cells")); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}
