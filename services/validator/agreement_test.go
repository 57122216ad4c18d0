package validator_test

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/validator"
	"github.com/pdfmill/pdfmill/services/validator/mutant"
)

// opinion is what somebody thinks of a file.
type opinion struct {
	opens bool
	slow  bool // it was not waited for
	pages int  // -1: it does not say
	says  string
}

// second is somebody else who opens PDFs.
type second struct {
	name string
	ask  func(ctx context.Context, path string) (opinion, error)
}

// Reasons of disagreements, and why each is none of ours to mend. One that has no reason fails the test.
const (
	oursLimits   = "a limit"
	oursNoPage   = "no page left"
	oursKind     = "not a PDF"
	oursRebuild  = "rebuilt by the other"
	oursLocked   = "locked"
	theirsStrict = "stricter"
	theirsSlow   = "slower"
	pageCount    = "pages counted otherwise"
)

var reasons = map[string]string{
	oursLimits:   "It breaks a bound, which the other does not have.",
	oursNoPage:   "It opens, but has no page, or none that can be loaded: there is nothing to convert. The other looks at the document only.",
	oursKind:     "It is something else, or has no header where PDFium looks for it; the other finds what looks like objects in it.",
	oursRebuild:  "PDFium can't open it, and the other rebuilds the structure. `--repair safe` has qpdf do that, where what comes out still has pages.",
	oursLocked:   "PDFium wants a password, or does not know the handler; the other reads at least the structure.",
	theirsStrict: "The other stops at damage that PDFium reads past: objects, streams or encryption that no page needs, or that are read in a more forgiving way. Pages that PDFium can't load are named one by one.",
	theirsSlow:   "It has no bound of time, and was not waited for.",
	pageCount:    "The page tree is damaged or lies: each believes another part of it (`/Count`, the kids, what can be rebuilt).",
}

// explain gives the reason of a disagreement; "" when they agree, and false when there is none. Who uses the same library can only differ where we say so.
func explain(r validator.Report, o opinion, same, damaged bool) (reason string, ok bool) {
	switch {
	case o.slow:
		return theirsSlow, true
	case r.Verdict == validator.VerdictOK && !o.opens:
		return theirsStrict, !same
	case r.Verdict == validator.VerdictOK:
		if o.pages < 0 || o.pages == r.Pages {
			return "", true
		}
		return pageCount, damaged && !same
	case !o.opens:
		return "", true
	case strings.HasPrefix(string(r.Class), "limit-"):
		return oursLimits, true
	case strings.Contains(r.Message, "no pages") || strings.Contains(r.Message, "only page") || strings.Contains(r.Message, "none of its"):
		return oursNoPage, damaged
	case r.Class == failure.NotPDF:
		return oursKind, damaged
	case r.Class == failure.PDFEncrypted:
		return oursLocked, !same
	case r.Class == failure.PDFCorrupt:
		return oursRebuild, damaged && !same
	}
	return "none", false
}

// late is the exit code of a program that was not waited for.
const late = -2

// look runs a program that looks at a file; what it exits with is its opinion, not a fault.
func look(ctx context.Context, name string, args ...string) (code int, out string, err error) {
	limited, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	text, err := exec.CommandContext(limited, name, args...).CombinedOutput()
	if limited.Err() != nil && ctx.Err() == nil {
		return late, "", nil
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && ctx.Err() == nil {
		return exit.ExitCode(), string(text), nil
	}
	return 0, string(text), err
}

var pagesLine = regexp.MustCompile(`(?m)^Pages:\s+(\d+)`)

func askQPDF(ctx context.Context, path string) (opinion, error) {
	code, text, err := look(ctx, "qpdf", "--check", path)
	o := opinion{opens: code == 0 || code == 3, slow: code == late, pages: -1, says: text}
	if err != nil || !o.opens {
		return o, err
	}
	if _, text, err = look(ctx, "qpdf", "--warning-exit-0", "--show-npages", path); err == nil {
		lines := strings.Fields(text)
		if len(lines) > 0 {
			if n, err := strconv.Atoi(lines[len(lines)-1]); err == nil {
				o.pages = n
			}
		}
	}
	return o, err
}

func askPoppler(ctx context.Context, path string) (opinion, error) {
	code, text, err := look(ctx, "pdfinfo", path)
	o := opinion{opens: code == 0, slow: code == late, pages: -1, says: text}
	if m := pagesLine.FindStringSubmatch(text); m != nil {
		o.pages, _ = strconv.Atoi(m[1]) // digits
	}
	return o, err
}

//go:embed testdata/native.py
var nativeScript string

// native is PDFium without a sandbox, in a process that is asked about one file after the other.
type native struct {
	mu  sync.Mutex
	in  *bufio.Writer
	out *bufio.Scanner
}

func newNative(t *testing.T, python string) *native {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, "-c", nativeScript)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // which ends it
		_ = cmd.Wait()
	})
	return &native{in: bufio.NewWriter(in), out: bufio.NewScanner(out)}
}

func (n *native) ask(_ context.Context, path string) (opinion, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, err := n.in.WriteString(path + "\n"); err != nil {
		return opinion{}, err
	}
	if err := n.in.Flush(); err != nil || !n.out.Scan() {
		return opinion{}, errors.Join(err, errors.New("native PDFium ended"))
	}
	var said struct {
		Opens bool
		Pages int
		Says  string
	}
	err := json.Unmarshal(n.out.Bytes(), &said)
	return opinion{opens: said.Opens, pages: said.Pages, says: said.Says}, err
}

// others are those that are installed: qpdf is, see make tools.
func others(t *testing.T) []second {
	t.Helper()
	all := []second{{"qpdf --check", askQPDF}}
	if _, err := exec.LookPath("pdfinfo"); err == nil {
		all = append(all, second{"pdfinfo", askPoppler})
	}
	python := os.Getenv("PDFMILL_PYTHON")
	if python == "" {
		python = "python3"
	}
	if exec.CommandContext(t.Context(), python, "-c", "import pypdfium2").Run() == nil {
		all = append(all, second{"pypdfium2", newNative(t, python).ask})
	}
	return all
}

// healthy are the classes of which nothing may be refused, and of which everybody counts the same pages.
var healthy = []string{"ok", "long", "scanned", "encrypted-empty-password"}

// TestOthersAgree asks others for a second opinion on the corpus and on mutants ($PDFMILL_MUTANTS of them): every disagreement has a reason. With PDFMILL_FIGURES
// set it writes a table of them.
func TestOthersAgree(t *testing.T) {
	const few = 60
	mutants := few
	if text := os.Getenv("PDFMILL_MUTANTS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		mutants = n
	}
	files := corpus(t)
	dir, documents := t.TempDir(), seeds(t)
	for n := range mutants {
		path := filepath.Join(dir, fmt.Sprintf("mutant-%04d.pdf", n))
		if err := os.WriteFile(path, mutant.Of(documents[n%len(documents)], uint64(n)), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, document{path, "mutant"})
	}
	inspector, askable := newInspector(t, patient()), others(t)
	var (
		mu     sync.Mutex
		counts = map[[2]string]int{} // by reason or "", and who
		cases  = map[string][]string{}
	)
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(8)
	for _, d := range files {
		group.Go(func() error {
			r, err := inspector.Check(ctx, validator.Request{Path: d.path}, 32)
			if err != nil {
				return fmt.Errorf("%s: %w", filepath.Base(d.path), err)
			}
			if slices.Contains(healthy, d.class) && r.Verdict != validator.VerdictOK {
				t.Errorf("false refusal: %s (%s): %s %s", filepath.Base(d.path), d.class, r.Class, r.Message)
			}
			for _, s := range askable {
				o, err := s.ask(ctx, d.path)
				if err != nil {
					return fmt.Errorf("%s of %s: %w", s.name, filepath.Base(d.path), err)
				}
				reason, ok := explain(r, o, s.name == "pypdfium2", !slices.Contains(healthy, d.class))
				mu.Lock()
				if counts[[2]string{reason, s.name}]++; reason != "" && d.class != "mutant" {
					cases[reason] = append(cases[reason], fmt.Sprintf("%s (%s)", filepath.Base(d.path), s.name))
				}
				mu.Unlock()
				if !ok {
					t.Errorf("%s (%s), %s: no reason for %q: we say %s %q, %d pages; it opens %v, %d pages: %.300s", filepath.Base(d.path), d.class, s.name, reason, r.Class, r.Message, r.Pages, o.opens, o.pages, o.says)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if counts[[2]string{"", "qpdf --check"}] == 0 || counts[[2]string{theirsStrict, "qpdf --check"}] == 0 {
		t.Errorf("%v: nobody agrees, or everybody does: are these files?", counts)
	}
	if figures := os.Getenv("PDFMILL_FIGURES"); figures != "" {
		write(t, filepath.Join(figures, "agreement.md"), agreementPage(len(files)-mutants, mutants, askable, counts, cases))
	}
}

// agreementPage is the table of who disagrees how often, and why.
func agreementPage(files, mutants int, askable []second, counts map[[2]string]int, cases map[string][]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d files of the corpus and %d mutants of its small ones. False refusals of files that are ok, long, scanned or encrypted with an empty password: 0.\n\n|", files, mutants)
	for _, s := range askable {
		fmt.Fprintf(&b, " | %s", s.name)
	}
	b.WriteString(" | why | files of the corpus |\n|---" + strings.Repeat("|---", len(askable)+2) + "|\n")
	row := func(reason, title, why string) {
		fmt.Fprintf(&b, "| %s", title)
		for _, s := range askable {
			fmt.Fprintf(&b, " | %d", counts[[2]string{reason, s.name}])
		}
		named := slices.Sorted(slices.Values(cases[reason]))
		fmt.Fprintf(&b, " | %s | %s |\n", why, strings.Join(named, ", "))
	}
	row("", "agreed", "")
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		row(reason, reason, reasons[reason])
	}
	return b.String()
}
