package sandbox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/klippa-app/go-pdfium"
	pdfium_errors "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/pdfmill/pdfmill/services/validator/facts"
)

const wasmPage = 64 << 10

// Main is a probe: the process in which documents are opened. It reads a setup and then questions from in, one JSON object a line, and writes answers to
// out. It ends at the end of in, or after an answer that says so.
func Main(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	if !lines.Scan() {
		return lines.Err()
	}
	var s setup
	if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
		return fmt.Errorf("read setup: %w", err)
	}
	p, err := newProbe(s)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	if err := encoder.Encode(answer{Code: codeOK}); err != nil { // ready
		return fmt.Errorf("say ready: %w", err)
	}
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return fmt.Errorf("read question: %w", err)
		}
		a := p.look(q)
		a.Last = a.Last || a.Code == codeTrap || p.memory.denied.Load()
		if err := encoder.Encode(a); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		if a.Last {
			return nil // whatever is broken goes with the process
		}
	}
	return lines.Err()
}

type probe struct {
	memory   *memory
	instance pdfium.Pdfium
}

func newProbe(s setup) (*probe, error) {
	p := &probe{memory: &memory{}}
	config := wazero.NewRuntimeConfigCompiler().WithMemoryLimitPages(uint32(s.Memory / wasmPage)).
		WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling)
	if s.CacheDir != "" {
		cache, err := wazero.NewCompilationCacheWithDir(s.CacheDir)
		if err != nil {
			return nil, fmt.Errorf("cache of compiled code: %w", err)
		}
		config = config.WithCompilationCache(cache)
	}
	// An empty file system: the default mounts the host's. Nothing that the module prints is of interest.
	pool, err := webassembly.Init(webassembly.Config{
		Context: experimental.WithMemoryAllocator(context.Background(), p.memory), MinIdle: 0, MaxIdle: 1, MaxTotal: 1,
		FSConfig: wazero.NewFSConfig(), RuntimeConfig: config, Stdout: io.Discard, Stderr: io.Discard,
	})
	if err != nil {
		return nil, fmt.Errorf("start PDFium: %w", err)
	}
	if p.instance, err = pool.GetInstance(time.Minute); err != nil {
		return nil, fmt.Errorf("start PDFium: %w", err)
	}
	return p, nil
}

// look opens a document and collects its facts. A trap or panic inside is an answer, the last one.
func (p *probe) look(q question) (a answer) {
	defer func() {
		if cause := recover(); cause != nil {
			a = p.broken(fmt.Sprint(cause))
		}
	}()
	file, err := os.Open(q.Path)
	if err != nil {
		return answer{Code: codeUnopened, Detail: err.Error()}
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return answer{Code: codeUnopened, Detail: err.Error()}
	}
	opened, err := p.instance.OpenDocument(&requests.OpenDocument{FileReader: file, FileReaderSize: info.Size()})
	if err != nil {
		return p.refused(err)
	}
	a.Code = codeOK
	if a.Facts, err = p.facts(opened.Document, q.MaxPages); err != nil {
		return p.broken(err.Error())
	}
	if _, err := p.instance.FPDF_CloseDocument(&requests.FPDF_CloseDocument{Document: opened.Document}); err != nil {
		a.Last = true
	}
	return a
}

func (p *probe) refused(err error) answer {
	for code, known := range map[string]error{
		codePassword: pdfium_errors.ErrPassword, codeHandler: pdfium_errors.ErrSecurity, codeFormat: pdfium_errors.ErrFormat,
	} {
		if errors.Is(err, known) {
			return answer{Code: code, Detail: err.Error()}
		}
	}
	// Success, unknown and the like come for documents without a usable page tree.
	for _, known := range []error{pdfium_errors.ErrSuccess, pdfium_errors.ErrUnknown, pdfium_errors.ErrFile, pdfium_errors.ErrPage} {
		if errors.Is(err, known) {
			return answer{Code: codeFormat, Detail: err.Error()}
		}
	}
	return p.broken(err.Error())
}

func (p *probe) broken(detail string) answer {
	if p.memory.denied.Load() {
		return answer{Code: codeOutOfRoom, Detail: detail, Last: true}
	}
	return answer{Code: codeTrap, Detail: detail, Last: true}
}

// maxNamed is how many unloadable pages are named.
const maxNamed = 100

func (p *probe) facts(document references.FPDF_DOCUMENT, maxPages int) (f facts.Facts, err error) {
	count, err := p.instance.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: document})
	if err != nil {
		return f, fmt.Errorf("count pages: %w", err)
	}
	f.Pages = count.PageCount
	for i := range min(f.Pages, maxPages) {
		size, err := p.instance.FPDF_GetPageSizeByIndex(&requests.FPDF_GetPageSizeByIndex{Document: document, Index: i})
		if err != nil || size.Width <= 0 || size.Height <= 0 {
			if len(f.Unloadable) < maxNamed {
				f.Unloadable = append(f.Unloadable, i+1)
			}
			continue
		}
		f.LoadablePages++
		f.MaxWidth, f.MaxHeight = max(f.MaxWidth, size.Width), max(f.MaxHeight, size.Height)
	}
	if v, err := p.instance.FPDF_GetFileVersion(&requests.FPDF_GetFileVersion{Document: document}); err == nil && v.FileVersion > 0 {
		f.Version = strings.Join([]string{strconv.Itoa(v.FileVersion / 10), strconv.Itoa(v.FileVersion % 10)}, ".")
	}
	if r, err := p.instance.FPDF_GetSecurityHandlerRevision(&requests.FPDF_GetSecurityHandlerRevision{Document: document}); err == nil && r.SecurityHandlerRevision > 0 {
		f.Security = r.SecurityHandlerRevision
		if rights, err := p.instance.FPDF_GetDocPermissions(&requests.FPDF_GetDocPermissions{Document: document}); err == nil {
			f.NoExtract = !rights.CopyOrExtractText
		}
	}
	return f, nil
}
