//go:build marker

package marker

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/event"
)

// sabotage gives the plant an environment of its own, that imports the same packages and in which a fault happens where testdata/pdfmill_faults.py says; what
// is in the file is "once" or "always". It returns the folder of such files.
func (p *plant) sabotage(fault, how string) string {
	p.t.Helper()
	real, err := rig.Cache()
	if err != nil {
		p.t.Fatal(err)
	}
	cache, folder := p.t.TempDir(), p.t.TempDir()
	packages, err := filepath.Glob(filepath.Join(real, "packages-*"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, place := range packages {
		if about, err := os.Stat(place); err == nil && about.IsDir() {
			if err := os.Symlink(place, filepath.Join(cache, filepath.Base(place))); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	p.env = append(p.env, "PDFMILL_CACHE="+cache, "PDFMILL_CONFINE=none") // the faults' files are in no cell
	python := installed(p.t, p.name, p.env)
	sites, err := filepath.Glob(filepath.Join(filepath.Dir(python), "..", "lib", "python*", "site-packages"))
	if err != nil || len(sites) != 1 {
		p.t.Fatalf("site-packages: %q, %v", sites, err)
	}
	module, err := os.ReadFile("testdata/pdfmill_faults.py")
	if err != nil {
		p.t.Fatal(err)
	}
	for name, content := range map[string]string{
		filepath.Join(sites[0], "pdfmill_faults.py"): string(module),
		filepath.Join(sites[0], "zz_faults.pth"):     fmt.Sprintf("import pdfmill_faults; pdfmill_faults.arm(%q)\n", folder),
		filepath.Join(folder, fault):                 how,
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	return folder
}

// warned are the warnings of a page.
func warned(e event.Converted, page int) (all []string) {
	for _, w := range e.Warnings {
		if w.Page == page {
			all = append(all, w.Warning)
		}
	}
	return all
}

// A worker that hangs in a forward pass is ended for its silence. Which of the pages does that is found by cutting, and it alone is read in the plainest way; those
// around it are converted by marker.
func TestAHangInsideTorchCostsNoPage(t *testing.T) {
	each(t, func(t *testing.T, p *plant) {
		p.sabotage("hang", "always")
		pipeline := p.up("--workers", "1", "--silence-timeout", "15s")
		events := rig.Subscribe(t, pipeline.NATS())
		words := []string{"Water runs", "Here they hang", "Rain falls"}
		e := p.submit(pipeline, "hang.pdf", book(words...)).converted(events)
		for i, said := range words {
			if plainly := slices.Contains(warned(e, i+1), "degraded"); plainly != (i == 1) || !strings.Contains(e.Markdown.Inline, said) {
				t.Errorf("page %d, read plainly: %v", i+1, plainly)
			}
		}
		if !e.Complete || len(e.Warnings) != 1 {
			t.Errorf("%+v", e)
		}
		// In a range of three pages, of two, and alone.
		if log := pipeline.Processes[0].Log(); strings.Count(log, "silent for 15s") < 3 {
			t.Errorf("workers were ended for silence %d times", strings.Count(log, "silent for 15s"))
		}
	}, "marker1")
}

// A server that hangs in a forward pass answers nothing any more: it is started again, and the range is done again without an attempt being spent.
func TestAHangInsideAServersTorchCostsNothing(t *testing.T) {
	each(t, func(t *testing.T, p *plant) {
		p.sabotage("hang", "once")
		pipeline := p.up("--workers", "1")
		events := rig.Subscribe(t, pipeline.NATS())
		before := p.works(pipeline, "ocr-error", 0)
		e := p.submit(pipeline, "hang.pdf", book("Water runs", "Here they hang")).converted(events)
		if after := status(t, pipeline, "ocr-error"); after.Restarts != before.Restarts+1 {
			t.Errorf("%+v, then %+v", before, after)
		}
		if !e.Complete || len(e.Warnings) > 0 || e.Attempts != 1 || !strings.Contains(e.Markdown.Inline, "Here they hang") {
			t.Errorf("%+v", e)
		}
	}, "marker")
}

// Memory that runs out in one worker is that worker's end, and costs the range an attempt; the others go on.
func TestMemoryThatRunsOutCostsAnAttempt(t *testing.T) {
	each(t, func(t *testing.T, p *plant) {
		p.sabotage("memory", "once")
		pipeline := p.up("--workers", "2")
		events := rig.Subscribe(t, pipeline.NATS())
		poor := p.submit(pipeline, "poor.pdf", book("All the memory there is"))
		rich := p.submit(pipeline, "rich.pdf", book("Water runs", "Rain falls"))
		for s, attempts := range map[submitted]int{poor: 2, rich: 1} {
			if e := s.converted(events); e.Attempts != attempts || !e.Complete || len(e.Warnings) > 0 {
				t.Errorf("%s: %+v", s.name, e)
			}
		}
		if log := pipeline.Processes[0].Log(); !strings.Contains(log, "host-oom") {
			t.Error("no memory ran out")
		}
	})
}
