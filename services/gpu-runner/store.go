package gpurunner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/crashpoint"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// maxPageBytes bounds the Markdown of one page, maxAboutBytes what is told of it, maxImageBytes one image: a runner is not believed about sizes.
const (
	maxPageBytes  = 16 << 20
	maxAboutBytes = 1 << 20
	maxImageBytes = 64 << 20
)

// store puts what a runner made where the publisher looks for it, and returns the messages for pages that need another try.
//
// Pages that came through as asked become good results, one object for each run of neighbours: written once, used by every later pass. A page
// converted the plain way, or by another engine than the one that was asked, counts as degraded and only for this pass. The object result.json comes last and makes the rest count.
func (s *Service) store(ctx context.Context, m event.Range, o supervise.Outcome, outDir string) ([]stage.Output, error) {
	var again []stage.Output
	var run []protocol.Page
	flush := func() error {
		if len(run) == 0 {
			return nil
		}
		err := s.storeRun(ctx, m, o, run, outDir)
		run = nil
		return err
	}
	degraded := func(p protocol.Page) bool { return m.Mode == event.ModePlain || p.Engine != "" }
	for _, p := range o.Result.Pages {
		if p.Status == event.PageFailed {
			if m.Mode == event.ModePlain {
				return nil, failure.Newf(p.Class, "convert page", fmt.Sprintf("%d of %s", p.Page, m.Source.Path()), "%s", p.Message).Final()
			}
			if err := flush(); err != nil {
				return nil, err
			}
			again = append(again, plain(m, p.Page, p.Class).Output())
			continue
		}
		if len(run) > 0 && degraded(run[0]) != degraded(p) {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		run = append(run, p)
	}
	return again, flush()
}

// storeRun writes one object for neighbouring pages that came through.
func (s *Service) storeRun(ctx context.Context, m event.Range, o supervise.Outcome, run []protocol.Page, outDir string) error {
	covered := pages.Range{First: run[0].Page, Last: run[len(run)-1].Page}
	prefix, status := m.RangePrefix(covered), event.PageOK
	if m.Mode == event.ModePlain || run[0].Engine != "" {
		prefix, status = m.PassPrefix()+"ranges/"+covered.Dir()+"/", event.PageDegraded
	}
	r, versions := o.Result, o.Info.Hello.Versions
	out := event.RangeResult{
		Range: covered, Engine: m.Engine, Version: versions["pdfmill-runner"], Models: o.Info.Ready.Models, Versions: versions, Mode: m.Mode,
		Images:  []event.Image{},
		Seconds: r.Seconds, PeakDevice: r.Memory.PeakDevice, PeakHost: r.Memory.PeakHost,
	}
	for _, p := range run {
		text, err := readPage(outDir, p)
		if err != nil {
			return err
		}
		warnings := p.Warnings
		if status == event.PageDegraded {
			warnings = append([]string{"degraded"}, without(warnings, "degraded")...)
		}
		about, err := readAbout(outDir, p)
		if err != nil {
			return err
		}
		out.Pages = append(out.Pages, event.PageResult{
			Page: p.Page, Status: status, Markdown: text, Chars: p.Chars, Seconds: p.Seconds, Warnings: warnings,
			Fidelity: p.Fidelity, Engine: p.Engine, About: about,
		})
	}
	var err error
	if out.Images, err = s.storeFiles(ctx, prefix, outDir, covered, r.Images, out.Images); err != nil {
		return err
	}
	if out.Debug, err = s.storeFiles(ctx, prefix, outDir, covered, r.Debug, nil); err != nil {
		return err
	}
	crashpoint.Reach(stage.GPURunner, crashpoint.MidStore)
	_, err = object.PutJSON(ctx, s.platform.Store, s.platform.Bucket, prefix+"result.json", out, object.Put{Once: true})
	if errors.Is(err, object.ErrExists) {
		return nil // somebody was faster: the first result stands
	}
	return err
}

// storeFiles stores the files of the pages of a range, and returns list with them appended.
func (s *Service) storeFiles(ctx context.Context, prefix, outDir string, of pages.Range, files []protocol.Image, list []event.Image) ([]event.Image, error) {
	for _, file := range files {
		if file.Page < of.First || file.Page > of.Last {
			continue
		}
		size, err := s.storeImage(ctx, prefix, outDir, file)
		if err != nil {
			return nil, err
		}
		list = append(list, event.Image{Key: file.File, Bytes: size, MediaType: file.MediaType, Page: file.Page})
	}
	return list, nil
}

func (s *Service) storeImage(ctx context.Context, prefix, outDir string, image protocol.Image) (int64, error) {
	file, size, err := openScratch(outDir, image.File, maxImageBytes)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	_, err = s.platform.Store.Put(ctx, s.platform.Bucket, prefix+image.File, file, size, object.Put{ContentType: image.MediaType})
	return size, err
}

// readAbout reads what a page's engine tells of it; nil: nothing.
func readAbout(outDir string, p protocol.Page) (*event.About, error) {
	if p.About == "" {
		return nil, nil
	}
	text, err := readScratch(outDir, p.About, maxAboutBytes)
	if err != nil {
		return nil, err
	}
	about := new(event.About)
	if err := json.Unmarshal(text, about); err != nil {
		return nil, failure.New(failure.EngineError, "read what the runner wrote", p.About, err)
	}
	return about, nil
}

func readPage(outDir string, p protocol.Page) (string, error) {
	text, err := readScratch(outDir, p.File, maxPageBytes)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(text) {
		return "", failure.Newf(failure.EngineError, "read", p.File, "the engine wrote Markdown that is not UTF-8")
	}
	return string(text), nil
}

func readScratch(outDir, name string, limit int64) ([]byte, error) {
	file, size, err := openScratch(outDir, name, limit)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data := make([]byte, size)
	if _, err := file.ReadAt(data, 0); err != nil && size > 0 {
		return nil, failure.New(failure.Unhealthy, "read scratch file", name, err)
	}
	return data, nil
}

// openScratch opens a file that a runner says it wrote: a regular one, inside outDir, of at most limit bytes.
func openScratch(outDir, name string, limit int64) (*os.File, int64, error) {
	root, err := os.OpenRoot(outDir)
	if err != nil {
		return nil, 0, failure.New(failure.Unhealthy, "open scratch folder", outDir, err)
	}
	defer root.Close()
	file, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe in its place would let us wait for ever
	if err != nil {
		return nil, 0, failure.New(failure.EngineError, "open what the runner wrote", name, err)
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("it is not a regular file")
	case info.Size() > limit:
		err = fmt.Errorf("it has %d bytes, the limit is %d", info.Size(), limit)
	default:
		return file, info.Size(), nil
	}
	_ = file.Close() // opened for reading only
	return nil, 0, failure.New(failure.EngineError, "read what the runner wrote", name, err)
}

func without(list []string, word string) []string {
	var out []string
	for _, w := range list {
		if w != word {
			out = append(out, w)
		}
	}
	return out
}
