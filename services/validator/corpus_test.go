package validator_test

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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

func TestEveryFileOfTheCorpusGetsItsVerdict(t *testing.T) {
	inspector := newInspector(t, validator.DefaultLimits())
	refused := 0
	for _, d := range corpus(t) {
		r, err := inspector.Check(t.Context(), validator.Request{Path: d.path}, 32)
		if err != nil {
			t.Fatalf("%s: %v", filepath.Base(d.path), err) // this machine's trouble, which the other files would share
		}
		if !slices.Contains(verdicts[d.class], r.Class) {
			t.Errorf("%s (%s): %q %s", filepath.Base(d.path), d.class, r.Class, r.Message)
		}
		if r.Class != "" {
			refused++
			t.Logf("%-45s %-12s %.3f s  %s", filepath.Base(d.path), r.Class, r.Seconds, r.Message)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused: is this the corpus?")
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
