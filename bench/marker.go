package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// rivals are marker's own command and server, and pdfmill with the engine marker: the same PDFs, the same settings (one block of text a page, no recognition, no
// weights), the same number of workers.
type rivals struct {
	r       *rig
	python  string // of the environment that pdfmill installed marker in
	site    string // what marker_server needs and marker does not install
	config  string // settings for marker's command
	workers int
}

const markerWorkers = 2

// copies of each document, so that the start of workers is not all there is to measure; each differs in a byte, since pdfmill does no work twice.
const markerCopies = 3

// everything is more documents than there are.
const everything = 1000

func measureMarker(ctx context.Context, r *rig, result *Result) error {
	v, err := r.rivals(ctx)
	if err != nil {
		return err
	}
	in, pages, err := v.inputs(ctx, r.times(markerCopies, 1), everything)
	if err != nil {
		return err
	}
	ours := Series{Label: "pdfmill convert --engine marker", Unit: "pages/s"}
	cli := Series{Label: "marker, its command", Unit: "pages/s"}
	server := Series{Label: "marker_server, as many clients", Unit: "pages/s"}
	for range r.times(3, 1) {
		for _, one := range []struct {
			into *Series
			run  func(context.Context, string) (float64, error)
		}{{&ours, v.timeOurs}, {&cli, v.timeCommand}, {&server, v.timeServer}} {
			seconds, err := one.run(ctx, in)
			if err != nil {
				return err
			}
			one.into.add(float64(pages) / seconds)
			_, _ = fmt.Fprintf(r.out, "  %s: %d pages in %.1f s\n", one.into.Label, pages, seconds) // it takes minutes: a sign of life
		}
	}
	ratio := ours.over("pdfmill ÷ command", cli)
	result.Inputs = fmt.Sprintf("%d pages; marker 2.0.0 without models: one block of text a page, no recognition; %d workers; from the start of the process to its end", pages, v.workers)
	result.Series = []Series{ratio, ours, cli, server, ours.over("pdfmill ÷ server", server)}
	result.Reached = ratio.median() >= 1
	for _, fault := range []func(context.Context, *Result) error{v.corrupt, v.killed, v.restarted, v.full, v.serverFaults} {
		if err := fault(ctx, result); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) rivals(ctx context.Context) (*rivals, error) {
	out, err := exec.CommandContext(ctx, r.binary(), "engines", "install", "marker", "--yes", "--no-weights", "--json").Output()
	var there struct {
		Python string `json:"python"`
	}
	if err = errors.Join(err, json.Unmarshal(out, &there)); err != nil {
		return nil, fmt.Errorf("install marker: %w", err)
	}
	v := &rivals{r: r, python: there.Python, config: filepath.Join(r.dir, "marker.json"), workers: markerWorkers}
	v.site = filepath.Join(r.dir, "site")
	pip := exec.CommandContext(ctx, "python3", "-m", "pip", "install", "-q", "--target", v.site, "fastapi", "uvicorn", "python-multipart")
	if said, err := pip.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("install what marker_server needs: %w\n%s", err, said)
	}
	return v, os.WriteFile(v.config, []byte(`{"force_layout_block": "Text"}`), 0o600)
}

// inputs makes a folder of copies of the documents with reference Markdown, of the first `most` of them, and says how many pages they have.
func (v *rivals) inputs(ctx context.Context, copies, most int) (dir string, pages int, err error) {
	truth, err := v.r.truth()
	if err != nil {
		return "", 0, err
	}
	dir = v.r.fresh("papers")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", 0, err
	}
	files, err := filepath.Glob(filepath.Join(truth, "*.pdf"))
	if err != nil {
		return "", 0, err
	}
	for _, file := range files[:min(most, len(files))] {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", 0, err
		}
		for i := range copies {
			name := fmt.Sprintf("%s-%d.pdf", strings.TrimSuffix(filepath.Base(file), ".pdf"), i)
			if err := os.WriteFile(filepath.Join(dir, name), fmt.Appendf(slices.Clone(data), "%% copy %d\n", i), 0o600); err != nil {
				return "", 0, err
			}
		}
	}
	report, err := exec.CommandContext(ctx, v.r.binary(), "check", "--json", dir).Output()
	for line := range bytes.Lines(report) {
		var one struct {
			Pages int `json:"pages"`
		}
		if json.Unmarshal(line, &one) == nil {
			pages += one.Pages
		}
	}
	if pages == 0 {
		return "", 0, fmt.Errorf("count the pages of %s: %w", dir, err)
	}
	return dir, pages, nil
}

// environment keeps marker from starting servers and from the network; a font that is there saves it a download.
func (v *rivals) environment() []string {
	return append(os.Environ(), "PDFMILL_MARKER_BARE=1", "HF_HUB_OFFLINE=1", "FONT_PATH="+v.python, "FAST_LAYOUT_SERVER_AUTOSTART=false",
		"OCR_ERROR_SERVER_AUTOSTART=false", "SURYA_INFERENCE_AUTOSTART=false")
}

func (v *rivals) start(ctx context.Context, name string, args ...string) (*running, error) {
	return v.startIn(ctx, v.r.dir, name, args...)
}

func (v *rivals) startIn(ctx context.Context, dir, name string, args ...string) (*running, error) {
	p := &running{cmd: exec.CommandContext(ctx, name, args...), ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = v.environment(), &p.said, &p.said
	p.cmd.Dir = dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Cancel = func() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (v *rivals) startCommand(ctx context.Context, in, out string, more ...string) (*running, error) {
	args := []string{"-c", "from marker.scripts.convert import convert_cli; convert_cli()", in, "--output_dir", out, "--workers", strconv.Itoa(v.workers), "--disable_ocr", "--config_json", v.config}
	return v.start(ctx, v.python, append(args, more...)...)
}

func (v *rivals) startOurs(ctx context.Context, in, out string, more ...string) (*running, error) {
	args := []string{"convert", in, "-o", out, "--engine", "marker", "--layout", "marker", "--workers", strconv.Itoa(v.workers)}
	return v.start(ctx, v.r.binary(), append(args, more...)...)
}

// running is a process with all that it started.
type running struct {
	cmd   *exec.Cmd
	said  bytes.Buffer // read it when the process has ended
	ended chan struct{}
	err   error
}

func (p *running) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
	<-p.ended
}

// status is what a shell would see.
func (p *running) status() int { return p.cmd.ProcessState.ExitCode() }

func (v *rivals) timeOurs(ctx context.Context, in string) (float64, error) {
	return v.time(ctx, in, v.startOurs)
}

func (v *rivals) timeCommand(ctx context.Context, in string) (float64, error) {
	return v.time(ctx, in, v.startCommand)
}

// time runs one of them over a folder, and makes sure that it has done all of it.
func (v *rivals) time(ctx context.Context, in string, start func(context.Context, string, string, ...string) (*running, error)) (float64, error) {
	out, started := v.r.fresh("out"), time.Now()
	p, err := start(ctx, in, out)
	if err != nil {
		return 0, err
	}
	<-p.ended
	seconds := time.Since(started).Seconds()
	if want, got := len(papers(in)), len(outputs(out)); p.err != nil || got != want {
		return 0, fmt.Errorf("%d of %d documents: %w\n%s", got, want, p.err, p.said.String())
	}
	return seconds, nil
}

func papers(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "*.pdf")) // the pattern is well formed
	return files
}

// outputs are the documents that were written below a folder.
func outputs(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*.md")) // the pattern is well formed
	return files
}
