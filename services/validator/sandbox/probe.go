package sandbox

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

const (
	wasmPage = 64 << 10
	// maxLine bounds a line in either direction.
	maxLine = 4 << 20
	// maxObjectRefs is how many references to page objects an instance may pile up, which go-pdfium frees only with the instance (some 3 ms to replace).
	maxObjectRefs = 20_000
	// maxKept is the memory, in bytes, that an instance may have taken to be used for another document: it never gives any back.
	maxKept = 48 << 20
)

// Main is a probe: the process in which documents are opened. It reads a setup and then questions from in, one JSON object a line, and writes answers to
// out. It ends at the end of in, or after an answer that says so.
func Main(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	if !lines.Scan() {
		return lines.Err()
	}
	var s setup
	if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
		return fmt.Errorf("read setup: %w", err)
	}
	p, err := newProbe(s, json.NewEncoder(out))
	if err != nil {
		return err
	}
	if err := confine(s.Memory); err != nil { // after PDFium was compiled, which needs room and may write its cache
		return fmt.Errorf("limit this process: %w", err)
	}
	if err := s.User.Become(); err != nil {
		return err
	}
	p.say(answer{Code: codeReady})
	for p.err == nil && !p.over && lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return fmt.Errorf("read question: %w", err)
		}
		if err := allowCPU(s.CPU); err != nil {
			return fmt.Errorf("limit the time of this process: %w", err)
		}
		p.answer(q)
		if err := p.renew(); err != nil {
			return err
		}
	}
	if p.err != nil {
		return fmt.Errorf("answer: %w", p.err)
	}
	return lines.Err()
}

// probe is PDFium in its sandbox, and the way to say what it finds.
type probe struct {
	memory   *memory
	pool     pdfium.Pool
	instance pdfium.Pdfium
	inflater inflater
	refs     int // to page objects, since the instance was made

	encoder *json.Encoder
	err     error // of writing: nobody listens any more
	over    bool  // whatever is broken goes with the process
}

func newProbe(s setup, encoder *json.Encoder) (*probe, error) {
	p := &probe{memory: &memory{bound: s.Memory / wasmPage * wasmPage}, encoder: encoder}
	// The bound is the allocator's, which notes that it was reached: wazero's own limit would say nothing.
	config := wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling)
	if s.CacheDir != "" {
		cache, err := wazero.NewCompilationCacheWithDir(s.CacheDir)
		if err != nil {
			return nil, fmt.Errorf("cache of compiled code: %w", err)
		}
		config = config.WithCompilationCache(cache)
	}
	// An empty file system: the default mounts the host's. No environment, no arguments, no clock that runs: wazero gives none unless told to.
	// Nothing that the module prints is of interest.
	ctx := experimental.WithCompilationWorkers(experimental.WithMemoryAllocator(context.Background(), p.memory), runtime.GOMAXPROCS(0))
	var err error
	p.pool, err = webassembly.Init(webassembly.Config{
		Context: ctx, MinIdle: 0, MaxIdle: 1, MaxTotal: 1,
		FSConfig: wazero.NewFSConfig(), RuntimeConfig: config, Stdout: io.Discard, Stderr: io.Discard,
	})
	if err != nil {
		return nil, fmt.Errorf("start PDFium: %w", err)
	}
	if p.instance, err = p.pool.GetInstance(time.Minute); err != nil {
		return nil, fmt.Errorf("start PDFium: %w", err)
	}
	return p, nil
}

// renew replaces an instance that has piled up too much, or that keeps the memory of a large document.
func (p *probe) renew() (err error) {
	if p.over || p.refs < maxObjectRefs && p.memory.size.Load() <= maxKept {
		return nil
	}
	if err = p.instance.Close(); err == nil {
		p.instance, err = p.pool.GetInstance(time.Minute)
	}
	if err != nil {
		return fmt.Errorf("replace PDFium: %w", err)
	}
	p.refs = 0
	return nil
}

// say writes one line; after the first that can't be written nothing is said any more.
func (p *probe) say(a answer) {
	a.Memory = p.memory.size.Load()
	a.Last = a.Last || p.memory.denied.Load()
	p.over = p.over || a.Last
	if p.err == nil {
		p.err = p.encoder.Encode(a)
	}
}
