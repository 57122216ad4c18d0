//go:build marker

package marker

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/event"
)

// read is what the stand-in for the vision language model "reads" in every block.
const read = "The stand-in read a block"

// bad is the word that has the tiny OCR error model call a page's text bad.
const bad = "mojibake"

// hold has the stand-in vision language model answer nothing; held waits until it has been asked for something.
func (p *plant) hold() { p.file("vlm.hold") }

func (p *plant) held() {
	p.t.Helper()
	p.await("the vision language model is asked", func() bool {
		_, err := os.Stat(filepath.Join(p.faults, "vlm.held"))
		return err == nil
	})
}

func (p *plant) letGo() {
	for _, name := range []string{"vlm.hold", "vlm.held"} {
		_ = os.Remove(filepath.Join(p.faults, name)) // held may not be there yet
	}
}

func (p *plant) file(name string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.faults, name), nil, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// status is what pdfmill status says of a server.
func status(t *testing.T, pipeline *rig.Pipeline, name string) (found event.Server) {
	t.Helper()
	var all struct {
		Servers []struct {
			Host string `json:"host"`
			event.Server
		} `json:"servers"`
	}
	if err := json.Unmarshal([]byte(pipeline.Pdfmill("status", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, s := range all.Servers {
		if s.Name == name {
			return s.Server
		}
	}
	t.Logf("no server %s: %+v", name, all.Servers) // its gpu-runner may be too busy to answer in time
	return found
}

// works waits until a server does, after so many restarts.
func (p *plant) works(pipeline *rig.Pipeline, name string, restarts int) event.Server {
	p.t.Helper()
	var s event.Server
	p.await(name+" works", func() bool {
		s = status(p.t, pipeline, name)
		return s.State == event.ServerWorks && s.Restarts >= restarts
	})
	return s
}

// One whole pipeline, in which servers are used, killed and stopped while they have a range in hand.
func TestServersAreUsedMissedAndWaitedFor(t *testing.T) {
	each(t, func(t *testing.T, p *plant) {
		pipeline := p.up("--workers", "1")
		events := rig.Subscribe(t, pipeline.NATS())

		// The OCR error server's word decides who reads a page. So few words are no layer to be measured against.
		both := p.submit(pipeline, "both.pdf", book("Water runs", "Water "+bad)).converted(events)
		first, second, _ := strings.Cut(both.Markdown.Inline, "<!-- page 2 -->")
		if !strings.Contains(first, "Water runs") || strings.Contains(first, read) || !strings.Contains(second, read) {
			t.Errorf("the OCR error server was not asked, or not heard:\n%s", both.Markdown.Inline)
		}
		for _, name := range []string{"layout", "ocr-error", "vlm"} {
			s := p.works(pipeline, name, 0)
			if external := name == "layout"; s.External != external || (s.PID == 0) != external || s.Restarts != 0 || s.URL == "" {
				t.Errorf("%+v", s)
			}
		}
		if s := status(t, pipeline, "ocr-error"); !strings.Contains(s.Log, "listening on "+s.URL) {
			t.Errorf("what it has printed is missing: %+v", s)
		}

		for i, c := range []struct {
			name string
			harm func(pid int) error
		}{
			{"killed", func(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }},
			{"stopped", func(pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) }}, // takes connections and never answers
		} {
			before := p.works(pipeline, "vlm", 0)
			p.hold()
			p.file("vlm.slow")
			document := p.submit(pipeline, c.name+".pdf", book("Rain "+c.name+" "+bad, "Snow "+c.name+" "+bad))
			p.held()
			if err := c.harm(before.PID); err != nil {
				t.Fatal(err)
			}
			p.letGo()
			waits := func() bool {
				return strings.Count(pipeline.Processes[0].Log(), "range waits for a server and is done again") > i
			}
			p.await("the range waits", waits)
			if s := status(t, pipeline, "vlm"); s.State == event.ServerWorks || s.LastError == "" {
				t.Errorf("%s: the range waits for nobody: %+v", c.name, s)
			}
			if document.process.Gone() {
				t.Errorf("%s: the document has ended: %s", c.name, document.process.Log())
			}
			_ = os.Remove(filepath.Join(p.faults, "vlm.slow"))
			after := p.works(pipeline, "vlm", before.Restarts+1)
			if after.PID == before.PID || after.LastError == "" {
				t.Errorf("%s: %+v, then %+v", c.name, before, after)
			}
			e := document.converted(events)
			if strings.Count(e.Markdown.Inline, read) < 2 || !e.Complete || len(e.Warnings) > 0 {
				t.Errorf("%s: %+v", c.name, e)
			}
			if e.Attempts != 1 {
				t.Errorf("%s cost %d attempts", c.name, e.Attempts)
			}
		}
	}, "marker")
}

// The layout server can be surya's own, here with random weights of the real size: its blocks are noise, but what marker makes of them has the page's words. One that
// hangs in a forward pass is started again, and the range is done again without an attempt being spent.
func TestTheLayoutServerIsSuryasOwn(t *testing.T) {
	each(t, func(t *testing.T, p *plant) {
		p.env = slices.DeleteFunc(p.env, func(v string) bool { return strings.HasPrefix(v, "PDFMILL_MARKER_LAYOUT_URL=") })
		faults := p.sabotage("hang", "once") // in no page's words
		pipeline := p.up("--workers", "1")
		events := rig.Subscribe(t, pipeline.NATS())
		whole := func(name string) {
			e := p.submit(pipeline, name+".pdf", book("Water runs "+name, "Rain falls "+name), "--engine-options", "disable-ocr=yes").converted(events)
			if !e.Complete || len(e.Warnings) > 0 || e.Attempts != 1 || strings.Count(e.Markdown.Inline, name) != 2 {
				t.Errorf("%+v", e)
			}
		}
		whole("quietly")
		before := p.works(pipeline, "layout", 0)
		if before.External || before.PID == 0 || before.Restarts != 0 || !strings.Contains(before.Log, "fast_layout server listening on "+before.URL) {
			t.Errorf("%+v", before)
		}
		if err := os.WriteFile(filepath.Join(faults, "layout"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		whole("again")
		if after := p.works(pipeline, "layout", 1); after.PID == before.PID || after.LastError == "" {
			t.Errorf("%+v, then %+v", before, after)
		}
	}, "marker")
}
