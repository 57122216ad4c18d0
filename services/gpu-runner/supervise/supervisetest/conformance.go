// Package supervisetest is the conformance suite of the runner protocol: the same cases for every engine. Only tests import it.
package supervisetest

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// Subject is the runner under test.
type Subject struct {
	Command supervise.Command
	Engine  string
	PDF     string // absolute path of a document with at least two pages that the engine converts
	Pages   int    // its number of pages
	// OpensFiles says that the engine reads the document, so that one that can't be opened must fail.
	OpensFiles bool
}

const patience = 2 * time.Minute

// RunConformance checks that a runner keeps the protocol, as gpu-runner sees it: over real pipes and with real signals.
func RunConformance(t *testing.T, s Subject) {
	t.Run("greets and stops", s.greets)
	t.Run("converts ranges", s.converts)
	t.Run("outlives what it can't convert", s.outlives)
	t.Run("answers probes", s.probes)
	t.Run("ends with its parent's pipe", s.endsWithPipe)
	t.Run("repeats itself", s.repeats)
}

func (s Subject) start(t *testing.T) *supervise.Process {
	t.Helper()
	p, err := supervise.Start(t.Context(), supervise.Config{
		Name: s.Engine, Command: s.Command, Engine: s.Engine, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatalf("start: %v\n%s", err, failure.DetailOf(err))
	}
	t.Cleanup(func() {
		p.Kill(errors.New("the test is over"))
		<-p.Done()
	})
	return p
}

func (s Subject) request(t *testing.T, id string, r pages.Range) supervise.Request {
	t.Helper()
	return supervise.Request{
		ID: id, Path: s.PDF, Range: r, OutDir: t.TempDir(), Total: patience, Silence: patience,
		Options: protocol.Options{Output: "markdown", Images: true, Mode: protocol.ModeDefault},
	}
}

func (s Subject) greets(t *testing.T) {
	p := s.start(t)
	info := p.Info()
	if len(info.Hello.Versions) == 0 || !slices.Contains(info.Hello.Capabilities.Formats, "markdown") || !info.Hello.Capabilities.PageRanges {
		t.Errorf("hello %+v", info.Hello)
	}
	if err := p.Stop(patience); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func (s Subject) converts(t *testing.T) {
	p := s.start(t)
	for _, r := range []pages.Range{{First: 1, Last: s.Pages}, {First: 2, Last: 2}, {First: 1, Last: 1}, {First: s.Pages - 1, Last: s.Pages}} {
		for _, mode := range []string{protocol.ModeDefault, protocol.ModePlain} {
			request := s.request(t, "c-"+r.String()+"-"+mode, r)
			request.Options.Mode = mode
			alive := 0
			result, err := p.Convert(t.Context(), request, func(m protocol.Progress) {
				if alive++; m.Done > m.Total {
					t.Errorf("progress %+v", m)
				}
			})
			if err != nil {
				t.Fatalf("pages %s, %s: %v\n%s", r, mode, err, failure.DetailOf(err))
			}
			if alive == 0 {
				t.Errorf("pages %s, %s: no progress", r, mode)
			}
			checkFiles(t, request.OutDir, result)
		}
	}
	if err := p.Stop(patience); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// checkFiles sees that what a result names is there, and nothing else.
func checkFiles(t *testing.T, dir string, result protocol.Result) {
	t.Helper()
	named := map[string]bool{}
	for _, page := range result.Pages {
		if page.Status != protocol.PageOK {
			t.Errorf("page %+v", page)
			continue
		}
		named[page.File] = true
		text, err := os.ReadFile(filepath.Join(dir, page.File))
		if err != nil || !utf8.Valid(text) {
			t.Errorf("page %d: %v", page.Page, err)
		}
	}
	for _, image := range result.Images {
		named[image.File] = true
		if info, err := os.Stat(filepath.Join(dir, image.File)); err != nil || info.Size() != image.Bytes {
			t.Errorf("image %+v: %v", image, err)
		}
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if name, _ := filepath.Rel(dir, path); err != nil || (!d.IsDir() && !named[name]) {
			t.Errorf("%s is not named by the result (%v)", name, err)
		}
		return nil
	})
}

func (s Subject) outlives(t *testing.T) {
	if !s.OpensFiles {
		return
	}
	p := s.start(t)
	broken := filepath.Join(t.TempDir(), "broken.pdf")
	if err := os.WriteFile(broken, []byte("this is no PDF"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*supervise.Request){
		"not a PDF": func(r *supervise.Request) { r.Path = broken },
		"no file":   func(r *supervise.Request) { r.Path += ".missing" },
	} {
		request := s.request(t, "c-bad", pages.Range{First: 1, Last: 2})
		change(&request)
		result, err := p.Convert(t.Context(), request, nil)
		if class := failure.ClassOf(err, ""); err != nil && (class == failure.Crash || class == failure.Timeout) {
			t.Fatalf("%s: %v\n%s", name, err, failure.DetailOf(err))
		}
		for _, page := range result.Pages {
			if page.Status == protocol.PageOK {
				t.Errorf("%s: page %+v", name, page)
			}
		}
	}
	if _, err := p.Convert(t.Context(), s.request(t, "c-good", pages.Range{First: 1, Last: 1}), nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func (s Subject) probes(t *testing.T) {
	p := s.start(t)
	for range 2 {
		if detail, err := p.Probe(t.Context(), patience); err != nil || detail == "" {
			t.Fatalf("%q, %v", detail, err)
		}
	}
}

func (s Subject) endsWithPipe(t *testing.T) {
	p := s.start(t)
	if err := p.Hangup(patience); err != nil {
		t.Errorf("the end of descriptor 3 must end the runner with status 0: %v", err)
	}
}

// repeats checks that a process gives the same for the same, whatever it has done in between.
func (s Subject) repeats(t *testing.T) {
	p := s.start(t)
	var before []int
	for range 3 {
		result, err := p.Convert(t.Context(), s.request(t, "c", pages.Range{First: 1, Last: s.Pages}), nil)
		if err != nil {
			t.Fatal(err)
		}
		var chars []int
		for _, page := range result.Pages {
			chars = append(chars, page.Chars)
		}
		if before != nil && !slices.Equal(before, chars) {
			t.Errorf("%v characters, then %v", before, chars)
		}
		before = chars
	}
}
