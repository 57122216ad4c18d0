package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klippa-app/go-pdfium/requests"

	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
)

// TestMain makes the test's own binary the probe.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "probe" {
		if err := Main(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func cacheDir() string {
	if dir := os.Getenv("PDFMILL_CACHE"); dir != "" {
		return filepath.Join(dir, "wasm")
	}
	return filepath.Join(os.TempDir(), "pdfmill-test-cache", "wasm")
}

func onePage(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "one.pdf")
	content := "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n" +
		"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]>>endobj\ntrailer<</Root 1 0 R/Size 4>>\n%%EOF\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The sandbox sees no file, not even one that everybody may read, and can make none.
func TestTheSandboxHasNoFileSystem(t *testing.T) {
	p, err := newProbe(setup{CacheDir: cacheDir(), Memory: 256 << 20}, json.NewEncoder(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	path := onePage(t)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.instance.OpenDocument(&requests.OpenDocument{FileReader: bytes.NewReader(content), FileReaderSize: int64(len(content))}); err != nil {
		t.Fatalf("a document that is handed in: %v", err)
	}
	if _, err := p.instance.FPDF_LoadDocument(&requests.FPDF_LoadDocument{Path: &path}); err == nil {
		t.Error("the sandbox opened a file by its path")
	}
}

// The sandbox can't tell the time: a document that it makes is of a day that passed long ago, and so is the next.
func TestTheSandboxHasNoClock(t *testing.T) {
	p, err := newProbe(setup{CacheDir: cacheDir(), Memory: 256 << 20}, json.NewEncoder(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		made, err := p.instance.FPDF_CreateNewDocument(&requests.FPDF_CreateNewDocument{})
		if err != nil {
			t.Fatal(err)
		}
		date, err := p.instance.FPDF_GetMetaText(&requests.FPDF_GetMetaText{Document: made.Document, Tag: "CreationDate"})
		if err != nil || !strings.HasPrefix(date.Value, "D:20220101000000") {
			t.Errorf("made on %q, %v", date.Value, err)
		}
	}
}

// A probe has nothing of its parent's environment, can't write files, dump core, or take more memory than it needs.
func TestAProbeIsConfined(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Logf("%s has no /proc to look into", runtime.GOOS)
		return
	}
	t.Setenv("PDFMILL_SECRET_X", "c4n4ry")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pool, err := NewPool(Config{Command: []string{self, "probe"}, CacheDir: cacheDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	c, err := pool.take(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.kill()
	proc := fmt.Sprintf("/proc/%d/", c.cmd.Process.Pid)
	environ, err := os.ReadFile(proc + "environ")
	if err != nil || len(environ) == 0 || bytes.Contains(environ, []byte("c4n4ry")) || bytes.Contains(environ, []byte("HOME=")) {
		t.Errorf("environment %q, %v", environ, err)
	}
	limits, err := os.ReadFile(proc + "limits")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Max file size 0 0 bytes", "Max core file size 0 0 bytes", "Max open files 64 64 files"} {
		if !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), want) {
			t.Errorf("no %q in\n%s", want, limits)
		}
	}
	if strings.Contains(string(limits), "Max address space         unlimited") {
		t.Error("address space is not limited")
	}
}

// A probe of root's is nobody before it sees a document, which it may read, and nothing else of root's.
func TestAProbeOfRootIsNobody(t *testing.T) {
	user, err := unprivileged.Find(unprivileged.Auto)
	if err != nil {
		t.Fatal(err)
	}
	if user == nil {
		t.Log("only root can become somebody else")
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pool, err := NewPool(Config{Command: []string{self, "probe"}, CacheDir: cacheDir(), User: user, Bounds: Bounds{
		Pages: 10, Points: 1e5, Pixels: 1e9, DPI: 72, ImagePixels: 1e9, Objects: 1e6, Content: 1e8, Chars: 1e6, Nesting: 9,
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	path := onePage(t)
	for dir := filepath.Dir(path); dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(filepath.Dir(path), "secret.pdf")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secret, content, 0o600); err != nil {
		t.Fatal(err)
	}
	seen, err := pool.Inspect(t.Context(), Document{Path: path})
	if err != nil || seen.Facts.LoadablePages != 1 {
		t.Fatalf("%+v, %v", seen, err)
	}
	c, err := pool.take(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.kill()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("Uid: %[1]d %[1]d %[1]d %[1]d", user.UID), fmt.Sprintf("Gid: %[1]d %[1]d %[1]d %[1]d", user.GID), "Groups: NStgid:", "CapEff: 0000000000000000",
	} {
		if !strings.Contains(strings.Join(strings.Fields(string(status)), " "), want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	for path, code := range map[string]string{path: codeOpened, secret: codeUnopened} {
		if err := c.send(question{Path: path, From: 1, Bounds: pool.config.Bounds}); err != nil {
			t.Fatal(err)
		}
		a, err := c.await(t.Context(), startWait)
		if err != nil || a.Code != code {
			t.Errorf("asked for %s: %+v, %v", filepath.Base(path), a, err)
		}
		for err == nil && code == codeOpened && a.Code != codeDone {
			a, err = c.await(t.Context(), startWait)
		}
	}
}

// A probe that dies, or talks nonsense, is replaced; the document that it had in hand is looked at by another.
func TestADeadProbeIsReplaced(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pool, err := NewPool(Config{Command: []string{self, "probe"}, CacheDir: cacheDir(), Bounds: Bounds{
		Pages: 10, Points: 1e5, Pixels: 1e9, DPI: 72, ImagePixels: 1e9, Objects: 1e6, Content: 1e8, Chars: 1e6, Nesting: 9,
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	path := onePage(t)
	for range 3 {
		seen, err := pool.Inspect(t.Context(), Document{Path: path})
		if err != nil || seen.Facts.Pages != 1 || seen.Facts.LoadablePages != 1 || seen.Memory == 0 {
			t.Fatalf("%+v, %v", seen, err)
		}
		pool.mu.Lock()
		idle := pool.idle[0]
		pool.mu.Unlock()
		if idle.asked == 0 {
			t.Error("a probe that served says it did not")
		}
		if err := idle.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		<-idle.dead
	}
}

func FuzzMeter(f *testing.F) {
	f.Add([]byte("1 0 obj<</Filter/FlateDecode/Length 9>>stream\nxxxxxxxxx"), uint16(46))
	f.Add([]byte("<</Filter[/Fl /Fl]>>stream\r\n"), uint16(27))
	dir := f.TempDir()
	var inflater inflater // as in a probe, where what one document leaves in it is there for the next
	f.Fuzz(func(t *testing.T, content []byte, at uint16) {
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		m := &meter{inflater: &inflater, file: file, size: int64(len(content)), bound: 1 << 16, chars: 1 << 10, opened: true}
		m.pos = min(int64(at), m.size)
		m.measure(content[m.pos:])
		if m.content < 0 || m.content > m.bound+1 || m.shown < 0 || m.shown > m.content || m.over != (m.content > m.bound) {
			t.Fatalf("%d bytes, %d shown, over %v", m.content, m.shown, m.over)
		}
	})
}

// An instance gives back what a large document took when the document is done: it is replaced.
func TestALargeDocumentDoesNotKeepItsMemory(t *testing.T) {
	p, err := newProbe(setup{CacheDir: cacheDir(), Memory: 256 << 20}, json.NewEncoder(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "large.pdf")
	drawing := strings.Repeat("0 0 m 5 5 l S ", 300_000)
	content := "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n" +
		"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Contents 4 0 R>>endobj\n" +
		fmt.Sprintf("4 0 obj<</Length %d>>stream\n%s\nendstream endobj\ntrailer<</Root 1 0 R/Size 5>>\n%%%%EOF\n", len(drawing), drawing)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	p.answer(question{Path: path, From: 1, Effort: Effort{Load: time.Minute}, Bounds: Bounds{
		Pages: 10, Points: 1e5, Pixels: 1e9, DPI: 72, ImagePixels: 1e9, Objects: 1e6, Content: 1e8, Chars: 1e6, Nesting: 9,
	}})
	if took := p.memory.size.Load(); p.over || took <= maxKept {
		t.Fatalf("over %v, the document took only %d bytes", p.over, took)
	}
	if err := p.renew(); err != nil || p.memory.size.Load() > maxKept {
		t.Errorf("it keeps %d bytes, %v", p.memory.size.Load(), err)
	}
}
