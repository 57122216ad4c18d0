//go:build marker

package marker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// patience is for what takes seconds on an idle machine, and minutes on one that others use too: marker alone is imported for ten.
const patience = 10 * time.Minute

// standIns is where the stand-ins for marker's weights and servers are.
const standIns = "../../runner-py/tests/real_marker"

// each runs a test for each generation that PDFMILL_MARKERS names ("marker" is 2.x, "marker1" is 1.10.x): both, unless it is set. A test that is about some only
// says which. Tests run side by side, as many as -parallel says: they mostly wait, each in a plant of its own.
func each(t *testing.T, test func(t *testing.T, p *plant), about ...string) {
	t.Helper()
	t.Parallel()
	names := os.Getenv("PDFMILL_MARKERS")
	if names == "" {
		names = "marker marker1"
	}
	for name := range strings.FieldsSeq(names) {
		if len(about) == 0 || slices.Contains(about, name) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, newPlant(t, name))
			})
		}
	}
}

// plant is what the pipeline needs to run one generation of marker here.
type plant struct {
	t      *testing.T
	name   string   // of what is installed
	python string   // the environment's interpreter
	env    []string // settings of up and convert
	models string   // folder of the stand-in weights
	faults string   // folder of files that make the stand-in servers misbehave
}

func newPlant(t *testing.T, name string) *plant {
	t.Helper()
	p := &plant{t: t, name: name}
	p.python = installed(t, name, nil)
	cache, err := rig.Cache()
	if err != nil {
		t.Fatal(err)
	}
	p.models = filepath.Join(cache, "stand-ins", name+"-"+fingerprint(t))
	p.run(p.python, filepath.Join(standIns, "place.py"), p.models)
	generation := map[string]string{"marker": "2", "marker1": "1"}[name]
	p.env = []string{
		"PDFMILL_WORKER_USER=none", // stand-ins lie where only who runs the tests may read
		"PDFMILL_SERVE=marker", "PDFMILL_ENGINES=marker", "PDFMILL_MARKER_GENERATION=" + generation, "PDFMILL_MODELS=" + p.models,
		"PDFMILL_RANGE_TIMEOUT=" + patience.String(), "PDFMILL_SILENCE_TIMEOUT=" + patience.String(),
	}
	if name == "marker" {
		p.servers()
	}
	return p
}

// installed returns the interpreter of a generation's environment, which `make test-marker` has installed; env says in which cache folder.
func installed(t *testing.T, name string, env []string) string {
	t.Helper()
	out := rig.Command{Args: []string{"engines", "install", name, "--yes", "--no-weights", "--json"}, Env: env, Limit: patience}.Run(t)
	var there struct {
		Python string `json:"python"`
	}
	if err := json.Unmarshal([]byte(out.Stdout), &there); err != nil || out.Code != 0 {
		t.Fatalf("install %s: exit %d, %v\n%s", name, out.Code, err, out.Stderr)
	}
	return there.Python
}

// fingerprint changes when the stand-in weights do.
func fingerprint(t *testing.T) string {
	t.Helper()
	var all []byte
	for _, name := range []string{"place.py", "tiny1.py", "tiny2.py"} {
		content, err := os.ReadFile(filepath.Join(standIns, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, content...)
	}
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE(all))
}

func (p *plant) run(program string, args ...string) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), program, args...)
	cmd.Env = append(os.Environ(), p.pythonPath())
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
}

// pythonPath has the tests of the runner, whose stand-ins are asked for.
func (p *plant) pythonPath() string {
	tests, err := filepath.Abs(filepath.Join(standIns, ".."))
	if err != nil {
		p.t.Fatal(err)
	}
	return "PYTHONPATH=" + tests
}

// servers are those of marker 2.x. The OCR error server is surya's own, with tiny weights, and like the vision language model's, which is a stand-in, a child
// of the gpu-runner. The layout server is a stand-in that somebody else runs.
func (p *plant) servers() {
	p.t.Helper()
	p.faults = p.t.TempDir()
	path, err := filepath.Abs(standIns)
	if err != nil {
		p.t.Fatal(err)
	}
	running := exec.Command(p.python, filepath.Join(path, "servers2.py"), "--dir", p.faults) //nolint:noctx // the test ends it
	running.Env = append(os.Environ(), p.pythonPath())
	if _, err := running.StdinPipe(); err != nil { // it ends when this does
		p.t.Fatal(err)
	}
	rig.StartCommand(p.t, "servers2", running)
	var at map[string]string
	p.await("the stand-in servers listen", func() bool {
		content, err := os.ReadFile(filepath.Join(p.faults, "servers.json"))
		return err == nil && json.Unmarshal(content, &at) == nil
	})
	program := filepath.Join(p.t.TempDir(), "llama-server")
	script := fmt.Sprintf("#!/bin/sh\nexec %s %s --faults %s \"$@\"\n", p.python, filepath.Join(path, "llama_server.py"), p.faults)
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		p.t.Fatal(err)
	}
	p.env = append(p.env, "PDFMILL_MARKER_LAYOUT_URL="+at["FAST_LAYOUT_SERVER_URL"], "PDFMILL_MARKER_VLM_SERVER=llamacpp", "PDFMILL_MARKER_VLM_PROGRAM="+program,
		"PDFMILL_MARKER_VLM_MEMORY=268435456")
}

func (p *plant) await(awaited string, done func() bool) {
	p.t.Helper()
	pipelinetest.Within(p.t, patience, awaited, done)
}

// up starts the pipeline.
func (p *plant) up(more ...string) *rig.Pipeline {
	p.t.Helper()
	return rig.UpWithin(p.t, patience, p.env, p.t.TempDir(), more...)
}

// submitted is a document on its way.
type submitted struct {
	p       *plant
	name    string
	process *rig.Process
}

// submit drops a document and has a client wait for its end.
func (p *plant) submit(pipeline *rig.Pipeline, name string, content []byte, options ...string) submitted {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), name)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return submitted{p, name, pipeline.Start(append([]string{"submit", "--wait", file}, options...)...)}
}

// converted waits for the document's end, which must be a good one, and returns its event.
func (s submitted) converted(events *rig.Events) event.Converted {
	s.p.t.Helper()
	if code := s.process.Wait(2 * patience); code != 0 {
		s.p.t.Fatalf("%s: exit %d\n%s", s.name, code, s.process.Log())
	}
	var body event.Converted
	s.p.await("an event about "+s.name, func() bool {
		for source, all := range events.All() {
			if strings.HasSuffix(source, s.name) {
				return json.Unmarshal(all[len(all)-1].Raw, &body) == nil
			}
		}
		return false
	})
	return body
}

// book is a document with a page for each text.
func book(texts ...string) []byte {
	var out bytes.Buffer
	objects := []string{"<</Type/Catalog/Pages 2 0 R>>", "", "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"}
	kids := ""
	for i, text := range texts {
		content := "BT /F1 12 Tf 72 700 Td (" + strings.ReplaceAll(text, "\n", ") Tj 0 -20 Td (") + ") Tj ET"
		kids += fmt.Sprintf("%d 0 R ", 4+2*i)
		objects = append(objects,
			fmt.Sprintf("<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents %d 0 R/Resources<</Font<</F1 3 0 R>>>>>>", 5+2*i),
			fmt.Sprintf("<</Length %d>>stream\n%s\nendstream", len(content), content))
	}
	objects[1] = fmt.Sprintf("<</Type/Pages/Kids[%s]/Count %d>>", kids, len(texts))
	out.WriteString("%PDF-1.7\n")
	var offsets []int
	for i, o := range objects {
		offsets = append(offsets, out.Len())
		fmt.Fprintf(&out, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := out.Len()
	fmt.Fprintf(&out, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, at := range offsets {
		fmt.Fprintf(&out, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&out, "trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, start)
	return out.Bytes()
}
