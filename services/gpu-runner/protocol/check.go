package protocol

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/pdfmill/pdfmill/pipeline/pages"
)

func (m *Hello) check() error {
	switch {
	case m.Protocol != Version:
		return fmt.Errorf("%w: %d, this side speaks %d", ErrVersion, m.Protocol, Version)
	case m.PID < 1:
		return fmt.Errorf("pid %d", m.PID)
	case m.Engine == "":
		return errors.New("empty engine")
	case m.Device == "":
		return errors.New("empty device")
	}
	return nil
}

func (m *Ready) check() error {
	return errors.Join(num("load_seconds", m.LoadSeconds), num("device_allocated", m.Memory.DeviceAllocated),
		num("device_reserved", m.Memory.DeviceReserved), num("host_rss", m.Memory.HostRSS))
}

func (m *Convert) check() error {
	r := pages.Range{First: m.First, Last: m.Last}
	switch {
	case m.ID == "":
		return errors.New("empty id")
	case !filepath.IsAbs(m.Path):
		return fmt.Errorf("path %q is not absolute", m.Path)
	case !filepath.IsAbs(m.OutDir):
		return fmt.Errorf("out_dir %q is not absolute", m.OutDir)
	case !r.Valid():
		return fmt.Errorf("pages %d-%d are not a range", m.First, m.Last)
	case !slices.Contains([]string{"markdown", "json", "html", "chunks"}, m.Options.Output):
		return fmt.Errorf("unknown output %q", m.Options.Output)
	case m.Options.Mode != ModeDefault && m.Options.Mode != ModePlain:
		return fmt.Errorf("unknown mode %q", m.Options.Mode)
	case m.DeadlineSeconds <= 0:
		return fmt.Errorf("deadline_seconds %g is not positive", m.DeadlineSeconds)
	case m.BatchScale <= 0:
		return fmt.Errorf("batch_scale %g is not positive", m.BatchScale)
	}
	return nil
}

func (m *Progress) check() error {
	if m.ID == "" {
		return errors.New("empty id")
	}
	return errors.Join(num("done", m.Done), num("total", m.Total))
}

func (m *Result) check() error {
	if m.ID == "" {
		return errors.New("empty id")
	}
	for _, p := range m.Pages {
		if err := p.check(); err != nil {
			return fmt.Errorf("page %d: %w", p.Page, err)
		}
	}
	for _, i := range append(slices.Clone(m.Images), m.Debug...) {
		switch {
		case i.Page < 1:
			return fmt.Errorf("image of page %d", i.Page)
		case !filepath.IsLocal(i.File):
			return fmt.Errorf("image file %q is not below out_dir", i.File)
		case i.MediaType == "":
			return fmt.Errorf("image %q without media_type", i.File)
		case i.Bytes < 0:
			return fmt.Errorf("image %q with %d bytes", i.File, i.Bytes)
		}
	}
	return errors.Join(num("seconds", m.Seconds), m.Memory.negative())
}

func (p Page) check() error {
	switch {
	case p.Page < 1 || p.Page > pages.Max:
		return errors.New("not a page number")
	case p.Status == PageOK && !filepath.IsLocal(p.File):
		return fmt.Errorf("file %q is not below out_dir", p.File)
	case p.About != "" && !filepath.IsLocal(p.About):
		return fmt.Errorf("about %q is not below out_dir", p.About)
	case p.Status == PageOK && p.Class != "":
		return fmt.Errorf("ok, but of class %q", p.Class)
	case p.Status == PageFailed && p.File+p.About != "":
		return fmt.Errorf("failed, but with file %q", p.File+p.About)
	case p.Status == PageFailed && !p.Class.Valid():
		return fmt.Errorf("unknown class %q", p.Class)
	case p.Status == PageFailed && p.Message == "":
		return errors.New("failed without a message")
	case p.Status != PageOK && p.Status != PageFailed:
		return fmt.Errorf("unknown status %q", p.Status)
	}
	for _, w := range p.Warnings {
		if w != WarnNoText && w != WarnTruncated && w != WarnDegraded && w != WarnLossy {
			return fmt.Errorf("unknown warning %q", w)
		}
	}
	if p.Fidelity != nil && (*p.Fidelity < 0 || *p.Fidelity > 1) {
		return fmt.Errorf("fidelity %g is not a share", *p.Fidelity)
	}
	return errors.Join(num("chars", p.Chars), num("seconds", p.Seconds))
}

func (m *EngineError) check() error {
	switch {
	case m.ID == "":
		return errors.New("empty id")
	case !m.Class.Valid():
		return fmt.Errorf("unknown class %q", m.Class)
	case m.Page != nil && (*m.Page < 1 || *m.Page > pages.Max):
		return fmt.Errorf("page %d", *m.Page)
	}
	return m.Memory.negative()
}

func (m *Probe) check() error    { return needID(m.ID) }
func (m *Probed) check() error   { return needID(m.ID) }
func (m *Shutdown) check() error { return nil }

func needID(id string) error {
	if id == "" {
		return errors.New("empty id")
	}
	return nil
}

func (p Peak) negative() error {
	return errors.Join(num("peak_device", p.PeakDevice), num("peak_host", p.PeakHost))
}

func num[N int | int64 | float64](name string, n N) error {
	if n < 0 {
		return fmt.Errorf("%s is negative: %v", name, n)
	}
	return nil
}
