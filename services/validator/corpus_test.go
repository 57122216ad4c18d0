package validator_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"golang.org/x/sync/errgroup"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/secret"
	"github.com/pdfmill/pdfmill/services/validator"
	"github.com/pdfmill/pdfmill/services/validator/sandbox"
)

// TestMain makes the test's own binary the probe, as pdfmill's binary is its own.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "probe" {
		if err := sandbox.Main(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// probes starts the test's own binary.
func probes(t testing.TB) sandbox.Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cache := os.Getenv("PDFMILL_CACHE") // kept from run to run, where there is one
	if cache == "" {
		cache = filepath.Join(os.TempDir(), "pdfmill-test-cache") // compiling takes long, for each test it would take too long
	}
	return sandbox.Config{Command: []string{self, "probe"}, CacheDir: filepath.Join(cache, "wasm"), Probes: 2}
}

func newInspector(t testing.TB, l validator.Limits) *validator.Inspector {
	t.Helper()
	i, err := validator.NewInspector(probes(t), l, validator.Policies{}, secret.NewStore(secret.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

type document struct{ path, class string }

// corpus is the folder that $PDFMILL_CORPUS names, or the small one that ships.
func corpus(t testing.TB) []document {
	t.Helper()
	dir := os.Getenv("PDFMILL_CORPUS")
	if dir == "" {
		dir = "../../e2e/testdata/corpus"
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(filepath.Join(dir, "manifest.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	name, class := slices.Index(rows[0], "file"), slices.Index(rows[0], "class")
	var all []document
	for _, row := range rows[1:] {
		all = append(all, document{filepath.Join(dir, row[name]), row[class]})
	}
	return all
}

// verdicts are the classes that a refusal of each class of documents may have; "" is none.
var verdicts = map[string][]failure.Class{
	"ok": {""}, "long": {""}, "scanned": {""}, "encrypted-empty-password": {""},
	"encrypted-user-password": {failure.PDFEncrypted},
	"corrupt":                 {failure.PDFCorrupt, failure.NotPDF},
	"not-pdf":                 {failure.NotPDF},
	"zero-byte":               {failure.PDFEmpty},
	"exotic":                  {"", failure.PDFCorrupt, failure.LimitPages, failure.LimitPageSize, failure.LimitTime, failure.LimitMemory, failure.LimitPixels, failure.LimitObjects, failure.LimitContent, failure.LimitChars, failure.LimitNesting, failure.LimitPageTime},
}

// tableFile has the verdict of each file of the corpus that pdfmill is developed with: file, class of the refusal, classes of failed pages.
const tableFile = "testdata/verdicts.csv"

// table reads it. With PDFMILL_FIGURES set, the test writes it anew, and the figures of each file beside it.
func table(t *testing.T) map[string]string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(read(t, tableFile))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	verdict := map[string]string{}
	for _, row := range rows[1:] {
		verdict[row[0]] = row[1]
	}
	return verdict
}

// sums is a verdict in a word: ok, the class of the refusal, or ok but for the classes of its failed pages.
func sums(err error, f facts.Facts) string {
	if class := failure.ClassOf(err, ""); class != "" {
		return string(class)
	}
	var lost []string
	for _, p := range f.Failed {
		if !slices.Contains(lost, string(p.Class)) {
			lost = append(lost, string(p.Class))
		}
	}
	return strings.Join(append([]string{"ok"}, lost...), " but ")
}

// Every file has a verdict of its class, and the one that the table says, within the bounds of time and memory. Where its figures are wanted, each gets a probe of
// its own, so that the memory is its own.
func TestEveryFileOfTheCorpusGetsItsVerdict(t *testing.T) {
	limits, how := patient(), probes(t)
	if os.Getenv("PDFMILL_FIGURES") != "" {
		how.Recycle = 1
	}
	inspector, err := validator.NewInspector(how, limits, validator.Policies{}, secret.NewStore(secret.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	defer inspector.Close()
	known, refused := table(t), 0
	var verdictRows, figures strings.Builder
	for _, d := range corpus(t) {
		name, began := filepath.Base(d.path), time.Now()
		found, err := inspector.Inspect(t.Context(), validator.Request{Path: d.path, Thumbnail: 320})
		if err != nil && !failure.Permanent(err) {
			t.Fatalf("%s: %v", name, err) // this machine's trouble, which the other files would share
		}
		class, verdict := failure.ClassOf(err, ""), sums(err, found.Facts)
		if !slices.Contains(verdicts[d.class], class) {
			t.Errorf("%s (%s): %v", name, d.class, err)
		}
		if want, ok := known[name]; ok && verdict != want {
			t.Errorf("%s: %s, the table says %s (%v, failed %v)", name, verdict, want, err, found.Facts.Failed)
		}
		if class != "" {
			refused++
		}
		took := time.Since(began)
		if most := limits.MaxTime + limits.FactsTime + 4*limits.MaxPageTime; took > most || found.Memory > limits.MaxMemory {
			t.Errorf("%s took %s and %d bytes, the bounds are %s and %d", name, took, found.Memory, most, limits.MaxMemory)
		}
		fmt.Fprintf(&verdictRows, "%s,%s\n", name, verdict)
		fmt.Fprintf(&figures, "| %s | %s | %s | %d | %.2f | %d |\n", name, d.class, verdict, found.Facts.Pages, took.Seconds(), found.Memory>>20)
	}
	if refused == 0 {
		t.Error("nothing was refused: is this the corpus?")
	}
	if dir := os.Getenv("PDFMILL_FIGURES"); dir != "" {
		write(t, tableFile, "file,verdict\n"+verdictRows.String())
		write(t, filepath.Join(dir, "corpus.rows"), figures.String())
	}
}

// patient limits are those that everybody has, but for time: a verdict is the same however busy the machine is.
func patient() validator.Limits {
	l := validator.DefaultLimits()
	l.MaxTime, l.MaxPageTime = 5*time.Minute, 5*time.Minute
	return l
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// However many bombs are in flight at once, the process that hosts the sandboxes stays small: it holds questions and answers.
func TestTheHostStaysSmallUnderManyBombs(t *testing.T) {
	const bombs, growth = 24, 48 << 20 // bytes
	crowd := plain(3)
	crowd.pages[1] = page(300, 100, 1001)
	crowd.streams[1001] = [2]string{"", strings.Repeat("0 0 m 5 5 l S ", 900_000)}
	text := plain(2)
	text.pages[1] = page(300, 100, 1001)
	text.streams[1001] = [2]string{"", "BT /F1 12 Tf " + strings.Repeat("(boom) Tj ", 300_000) + "ET"}
	paths := []string{crowd.write(t, "crowd.pdf"), text.write(t, "text.pdf")}
	for _, d := range corpus(t) {
		if strings.Contains(d.path, "bomb") {
			paths = append(paths, d.path)
		}
	}
	limits, how := validator.DefaultLimits(), probes(t)
	how.Probes = 6
	inspector, err := validator.NewInspector(how, limits, validator.Policies{}, secret.NewStore(secret.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	defer inspector.Close()
	if err := inspector.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	group, ctx := errgroup.WithContext(t.Context())
	for n := range bombs {
		group.Go(func() error {
			r, err := inspector.Check(ctx, validator.Request{Path: paths[n%len(paths)], Thumbnail: 320}, 32)
			heavy := strings.Contains(r.Input, "giant") || strings.Contains(r.Input, "crowd") // nothing but work: a quick machine gets through it
			if err == nil && r.Class == "" && len(r.Facts.Failed) == 0 && !heavy {
				return fmt.Errorf("%s: nothing was found wrong with it", r.Input)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&now) // what was taken from the system is kept for a while: it is the most that was needed at once
	if grown := int64(now.Sys) - int64(before.Sys); grown > growth {
		t.Errorf("%d bombs at once made it %d bytes larger, the bound is %d", bombs, grown, growth)
	}
}

// A document of two gigabytes costs neither the host nor the sandbox more memory than a small one: what is needed of it is read where it lies.
func TestALargeFileIsNotHeld(t *testing.T) {
	const size, held, growth = 1<<31 - 1, 32 << 20, 16 << 20 // bytes
	path := filepath.Join(t.TempDir(), "large.pdf")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	objects := []string{
		"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page/Parent 2 0 R" + page(300, 100, 4) + ">>",
		"<</Length 38>>stream\nBT /F1 12 Tf 10 50 Td (Hello, mill) Tj ET\nendstream",
	}
	head, table := "%PDF-1.7\n", "xref\n0 6\n0000000000 65535 f \n"
	for i, body := range objects {
		table += fmt.Sprintf("%010d 00000 n \n", len(head))
		head += fmt.Sprintf("%d 0 obj%s endobj\n", i+1, body)
	}
	table += fmt.Sprintf("%010d 00000 n \n", len(head))
	const room = 1000 // for the end
	hole := int64(size - len(head) - room)
	head += fmt.Sprintf("5 0 obj<</Length %d>>stream\n", hole)
	at := int64(len(head)) + hole // a hole in the file, which takes no room on the disk
	tail := "\nendstream endobj\n"
	tail += fmt.Sprintf("%strailer<</Root 1 0 R/Size 6>>\nstartxref\n%d\n%%%%EOF\n", table, at+int64(len(tail)))
	for offset, text := range map[int64]string{0: head, at: tail} {
		if _, err := out.WriteAt([]byte(text), offset); err != nil {
			t.Fatal(err)
		}
	}
	inspector := newInspector(t, patient())
	if err := inspector.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	found, err := inspector.Inspect(t.Context(), validator.Request{Path: path, Thumbnail: 320})
	if err != nil || found.Facts.LoadablePages != 1 || found.Facts.Chars != 11 || found.Memory > held {
		t.Errorf("%d pages, %d characters, %d bytes in the sandbox (bound %d), %v", found.Facts.LoadablePages, found.Facts.Chars, found.Memory, held, err)
	}
	runtime.ReadMemStats(&now)
	if grown := int64(now.Sys) - int64(before.Sys); grown > growth {
		t.Errorf("the host grew by %d bytes, the bound is %d", grown, growth)
	}
}

func TestLimitsOfADocumentAreNamed(t *testing.T) {
	limits := validator.DefaultLimits()
	limits.MaxPages, limits.MaxBytes = 3, 1000
	inspector := newInspector(t, limits)
	for _, c := range []struct {
		pages int
		class failure.Class
		says  string
	}{
		{1, "", ""},
		{4, failure.LimitPages, "4 pages, the limit is 3"},
		{40, failure.LimitBytes, "the limit is 1000"},
	} {
		if r := check(t, inspector, validator.Request{Path: plain(c.pages).write(t, "document.pdf")}); r.Class != c.class || !strings.Contains(r.Message, c.says) {
			t.Errorf("%d pages: %q %q; want %q %q", c.pages, r.Class, r.Message, c.class, c.says)
		}
	}
}
