package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

// converts runs pdfmill convert, checks its exit code and returns the report that it wrote into out.
func converts(t *testing.T, code int, out string, args ...string) (report, rig.Output) {
	t.Helper()
	// Whatever is installed on this machine: the engine of the samples is text.
	got := rig.Command{Args: append([]string{"convert", "-o", out}, args...), Env: []string{"PDFMILL_SERVE=text"}}.Run(t)
	if got.Code != code {
		t.Fatalf("convert %q: exit %d, want %d\n%s%s", args, got.Code, code, got.Stdout, got.Stderr)
	}
	return readReport(t, out), got
}

// TestConvertSamples is the README's first command, and what it says about a second one.
func TestConvertSamples(t *testing.T) {
	out := t.TempDir()
	files := samples(t)
	r, got := converts(t, 0, out, "../samples")
	if r.Totals.Converted != len(files) || r.Totals.Failed != 0 || !strings.Contains(got.Stdout, fmt.Sprintf("%d documents converted", len(files))) {
		t.Errorf("totals %+v, output %s", r.Totals, got.Stdout)
	}
	for _, d := range r.Documents {
		markdown := string(read(t, d.Markdown))
		if d.Outcome != "converted" || d.Class != "" || d.Pages == 0 || d.ConvertedPages != d.Pages || d.Kept || len(d.FailedPages) > 0 || !strings.Contains(markdown, "<!-- page 1 -->") {
			t.Errorf("%+v", d)
		}
		switch filepath.Base(d.Input) {
		case "scan.pdf":
			if len(d.Warnings) != 1 || d.Warnings[0].Warning != "no-text" || d.Warnings[0].Page != 1 {
				t.Errorf("a scan: warnings %+v", d.Warnings)
			}
		case "letter.pdf":
			if !strings.Contains(markdown, "# Grüße aus Łódź") {
				t.Errorf("a letter: %s", markdown)
			}
		case "report.pdf":
			if linked := linkedImages(markdown); len(linked) == 0 {
				t.Errorf("a report with an image links none: %s", markdown)
			} else if image := read(t, filepath.Join(out, linked[0])); len(image) == 0 {
				t.Error("the linked image is empty")
			}
		}
	}

	if again, _ := converts(t, 0, out, "../samples"); again.Totals.Kept != len(files) || again.Totals.Converted != len(files) {
		t.Errorf("the same again: %+v", again.Totals)
	}
	missing := r.Documents[0].Markdown
	if err := os.Remove(missing); err != nil {
		t.Fatal(err)
	}
	if again, _ := converts(t, 0, out, "../samples"); again.Totals.Kept != len(files)-1 || again.Totals.Converted != len(files) {
		t.Errorf("with one missing: %+v", again.Totals)
	}
	if _, err := os.Stat(missing); err != nil {
		t.Error(err)
	}
	if pages, _ := converts(t, 0, out, "../samples/report.pdf", "--pages", "2"); pages.Totals.Kept != 0 || pages.Totals.ConvertedPages != 1 {
		t.Errorf("with another option: %+v", pages.Totals)
	}
}

// linkedImages are the targets of images in Markdown.
func linkedImages(markdown string) []string {
	var all []string
	for part := range strings.SplitSeq(markdown, "![") {
		all = append(all, links(part)...)
	}
	return all
}

// TestConvertInputs: the ways to say what to convert.
func TestConvertInputs(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	letter, blank := read(t, "../samples/letter.pdf"), read(t, "../samples/blank-page.pdf")
	for _, dir := range []string{"a", "b", "deep/er"} {
		if err := os.MkdirAll(filepath.Join(in, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(in, "a", "same.pdf"), letter)
	write(t, filepath.Join(in, "b", "same.pdf"), blank)
	write(t, filepath.Join(in, "deep", "er", "UPPER.PDF"), letter)
	write(t, filepath.Join(in, "deep", ".hidden.pdf"), []byte("never looked at"))
	write(t, filepath.Join(in, "deep", "notes.txt"), []byte("never looked at"))
	r, _ := converts(t, 0, out, filepath.Join(in, "?", "*.pdf"), filepath.Join(in, "deep"), filepath.Join(in, "a", "same.pdf"))
	written := map[string]bool{}
	for _, d := range r.Documents {
		written[d.Markdown] = true
	}
	if len(r.Documents) != 3 || len(written) != 3 {
		t.Fatalf("three different files: %+v", r.Documents)
	}
	for _, d := range r.Documents {
		if isLetter := strings.Contains(string(read(t, d.Markdown)), "Łódź"); isLetter == strings.HasSuffix(d.Input, "b/same.pdf") {
			t.Errorf("%s holds another document than %s", d.Markdown, d.Input)
		}
	}
	if again, _ := converts(t, 0, out, filepath.Join(in, "b", "same.pdf")); again.Totals.Kept != 1 || !strings.Contains(string(read(t, again.Documents[0].Markdown)), "page 3") {
		t.Errorf("one of those with the same name again: %+v", again.Documents)
	}

	piped := rig.Command{Args: []string{"convert", "-", "-o", out, "--json"}, Stdin: letter}.Run(t)
	var printed report
	if err := json.Unmarshal([]byte(piped.Stdout), &printed); err != nil || piped.Code != 0 {
		t.Fatalf("exit %d, %v\n%s%s", piped.Code, err, piped.Stdout, piped.Stderr)
	}
	if d := printed.Documents[0]; d.Input != "-" || !strings.Contains(string(read(t, d.Markdown)), "Łódź") || printed.Totals.Converted != 1 {
		t.Errorf("standard input: %+v", printed)
	}
}

// TestConvertFailures: one bad document costs only itself, and says why.
func TestConvertFailures(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	write(t, filepath.Join(in, "good.pdf"), read(t, "../samples/letter.pdf"))
	write(t, filepath.Join(in, "page.pdf"), []byte("<html><body>404</body></html>"))
	write(t, filepath.Join(in, "empty.pdf"), nil)
	r, got := converts(t, 1, out, in, filepath.Join(in, "nothere.pdf"))
	classes := map[string]string{}
	for _, d := range r.Documents {
		classes[filepath.Base(d.Input)] = d.Class
		if d.Outcome == "failed" && (d.Message == "" || d.Markdown != "" || !strings.Contains(got.Stdout+got.Stderr, d.Input)) {
			t.Errorf("%+v is not explained", d)
		}
	}
	for name, class := range map[string]string{"good.pdf": "", "page.pdf": "not-pdf", "empty.pdf": "pdf-empty", "nothere.pdf": "source-gone"} {
		if got, found := classes[name]; !found || got != class {
			t.Errorf("%s: class %q, want %q", name, got, class)
		}
	}
	if r.Totals.Converted != 1 || r.Totals.Failed != 3 {
		t.Errorf("totals %+v", r.Totals)
	}
}

// TestCommandLineMistakes: each is told before anything starts, with what to do.
func TestCommandLineMistakes(t *testing.T) {
	dir := t.TempDir()
	file, letter := filepath.Join(dir, "file"), "../samples/letter.pdf"
	write(t, file, []byte("x"))
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no such command":      {[]string{"grind"}, 2, "--help"},
		"no such flag":         {[]string{"convert", letter, "-o", dir, "--fast"}, 2, "pdfmill convert --help"},
		"no output":            {[]string{"convert", letter}, 2, "--out"},
		"nothing there":        {[]string{"convert", "-o", dir, filepath.Join(dir, "nothere.pdf")}, 2, "nothere.pdf: there is no such file"},
		"an empty folder":      {[]string{"convert", "-o", dir, t.TempDir()}, 2, "holds no *.pdf"},
		"an empty pattern":     {[]string{"convert", "-o", dir, filepath.Join(dir, "*.pdf")}, 2, "matches no file"},
		"output is a file":     {[]string{"convert", "-o", file, letter}, 2, "-o"},
		"not an engine":        {[]string{"convert", "-o", dir, "--engine", "magic", letter}, 2, "magic"},
		"not pages":            {[]string{"convert", "-o", dir, "--pages", "7-3", letter}, 2, "7-3"},
		"no place for data":    {[]string{"convert", "-o", dir, "--data", filepath.Join(file, "data"), letter}, 3, "--data"},
		"no pipeline to ask":   {[]string{"status", "--data", dir}, 3, "pdfmill up"},
		"no pipeline to watch": {[]string{"watch", "--data", dir}, 3, "pdfmill up"},
		"no pipeline to fill":  {[]string{"submit", "--data", dir, letter}, 3, "pdfmill up"},
		"nobody listens":       {[]string{"status", "--nats-url", "nats://127.0.0.1:9"}, 3, "is the server up"},
		"replay of what":       {[]string{"dead", "replay", "--data", dir}, 2, "--all"},
		"drop of what":         {[]string{"dead", "drop", "--data", dir}, 2, "--all"},
		"piped into submit":    {[]string{"submit", "--data", dir, "-"}, 2, "convert"},
		"check of nothing":     {[]string{"check", filepath.Join(dir, "nothere.pdf")}, 2, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			out := rig.Run(t, c.args...)
			if out.Code != c.code || !strings.Contains(out.Stderr, c.says) || !strings.HasPrefix(out.Stderr, "pdfmill: ") || out.Stdout != "" {
				t.Errorf("exit %d, want %d and something with %q\nstdout: %s\nstderr: %s", out.Code, c.code, c.says, out.Stdout, out.Stderr)
			}
		})
	}
}

// TestCheckAndVersion: what runs without a pipeline.
func TestCheckAndVersion(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.pdf")
	write(t, bad, []byte("no PDF"))
	out := rig.Run(t, "check", "--json", "../samples/report.pdf", bad)
	var verdicts []string
	for line := range strings.Lines(out.Stdout) {
		var one struct {
			Verdict, Class string
			Pages          int
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		verdicts = append(verdicts, fmt.Sprint(one.Verdict, one.Class, one.Pages))
	}
	if out.Code != 1 || fmt.Sprint(verdicts) != "[ok2 refusednot-pdf0]" {
		t.Errorf("check: exit %d, %q\n%s", out.Code, verdicts, out.Stderr)
	}
	piped := rig.Command{Args: []string{"check", "-"}, Stdin: read(t, "../samples/report.pdf")}.Run(t)
	if piped.Code != 0 || !strings.HasPrefix(piped.Stdout, "ok       -  2 pages") {
		t.Errorf("check of standard input: exit %d, %s%s", piped.Code, piped.Stdout, piped.Stderr)
	}
	if out := rig.Run(t, "--version"); out.Code != 0 || strings.TrimSpace(out.Stdout) == "" || strings.Contains(out.Stdout, " ") {
		t.Errorf("version: exit %d, %q, want the version alone, as the services print it", out.Code, out.Stdout)
	}
	if out := rig.Run(t, "version", "--json"); out.Code != 0 || !json.Valid([]byte(out.Stdout)) {
		t.Errorf("version: exit %d, %s", out.Code, out.Stdout)
	}
	if out := rig.Run(t, "engines", "ls"); out.Code != 0 || !strings.Contains(out.Stdout, "text") {
		t.Errorf("engines ls: exit %d, %s%s", out.Code, out.Stdout, out.Stderr)
	}
	for _, command := range []string{"convert", "up", "submit", "status", "watch", "check", "doctor", "dead ls", "dead show", "dead replay", "dead drop", "cancel", "engines ls"} {
		if out := rig.Run(t, append(strings.Fields(command), "--help")...); out.Code != 0 || !strings.Contains(out.Stdout, "Examples:") {
			t.Errorf("%s --help: exit %d, without examples", command, out.Code)
		}
	}
}

// TestCheckOfWhatPeopleGive: nothing of it breaks the run, each thing has its line, and the message says what it is.
func TestCheckOfWhatPeopleGive(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	sparse := func(name string, size int64) {
		if err := os.Truncate(at(name), size); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(at("dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	good := read(t, "../samples/report.pdf")
	for name, content := range map[string]string{
		"page.pdf": "<html><body>404</body></html>", "empty.pdf": "", "holes.pdf": "", "huge.pdf": "%PDF-1.7\n", "dir/inside.pdf": string(good), "dir/half.PDF": string(good[:2000]),
		"dir/.hidden.pdf": "x", "dir/notes.txt": "x",
	} {
		write(t, at(name), []byte(content))
	}
	sparse("holes.pdf", 1<<31)
	sparse("huge.pdf", 1<<31+1)
	if err := syscall.Mkfifo(at("pipe.pdf"), 0o600); err != nil {
		t.Fatal(err)
	}
	piped := make(chan error, 1)
	go func() { piped <- os.WriteFile(at("pipe.pdf"), good, 0o600) }()
	out := rig.Run(t, "check", at("page.pdf"), at("empty.pdf"), at("holes.pdf"), at("huge.pdf"), at("missing.pdf"), at("dir"), at("pipe.pdf"), "/dev/zero", at("page.pdf"))
	if err := <-piped; err != nil {
		t.Error(err)
	}
	want := []string{
		"refused " + at("page.pdf") + " not-pdf: it is a web page",
		"refused " + at("empty.pdf") + " pdf-empty: the file has no bytes",
		"refused " + at("holes.pdf") + " not-pdf: it is nothing but zero bytes at its beginning",
		"refused " + at("huge.pdf") + " limit-bytes: it has 2147483649 bytes, the limit is 2147483648",
		"refused " + at("missing.pdf") + " source-gone: there is no such file",
		"refused " + at("dir/half.PDF") + " pdf-corrupt: it is cut off at byte 2000",
		"ok " + at("dir/inside.pdf") + " 2 pages",
		"ok " + at("pipe.pdf") + " 2 pages",
		"refused /dev/zero source-gone: is neither a file nor a directory",
	}
	lines := strings.Split(strings.TrimSpace(out.Stdout), "\n")
	if out.Code != 1 || len(lines) != len(want) {
		t.Fatalf("exit %d, %s%s", out.Code, out.Stdout, out.Stderr)
	}
	for i, line := range lines {
		if line = strings.Join(strings.Fields(line), " "); !strings.HasPrefix(line, want[i]) {
			t.Errorf("%q does not begin with %q", line, want[i])
		}
	}
}

// TestCheckStops: an interrupt ends a check that waits for a pipe, says how far it came, and leaves nothing.
func TestCheckStops(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.pdf")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	running := rig.Start(t, []string{"TMPDIR=" + dir}, rig.Binary(t, "pdfmill"), "check", "../samples/report.pdf", pipe)
	running.Await("the first verdict", func() bool { return strings.Contains(running.Log(), "report.pdf") })
	running.Signal(syscall.SIGINT)
	if code := running.Wait(20 * time.Second); code != 3 || !strings.Contains(running.Log(), "stopped: 1 of 2 files were checked") {
		t.Errorf("exit %d, %s", code, running.Log())
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestNoPython: without an interpreter nothing converts, and the message says what to install.
func TestNoPython(t *testing.T) {
	out := rig.Command{Args: []string{"convert", "-o", t.TempDir(), "../samples/letter.pdf"}, Env: []string{"PATH=" + t.TempDir(), "PDFMILL_CACHE=" + t.TempDir()}}.Run(t)
	if out.Code != 3 || strings.Count(out.Stderr, "install Python") != 1 {
		t.Errorf("exit %d, %s", out.Code, out.Stderr)
	}
}

// copies writes n documents that differ into a new folder.
func copies(t *testing.T, n int) string {
	t.Helper()
	dir, content := t.TempDir(), read(t, "../samples/report.pdf")
	for i := range n {
		write(t, filepath.Join(dir, fmt.Sprintf("doc-%03d.pdf", i)), unique(content, i))
	}
	return dir
}

// TestCtrlCAndOn: an interrupt lets what is in hand end; kill -9 does not; the same command goes on after both, and does again nothing that was there.
func TestCtrlCAndOn(t *testing.T) {
	const n = 60
	in, out, data := copies(t, n), t.TempDir(), t.TempDir()
	args := []string{"convert", in, "-o", out, "--data", data, "--window", "8"}
	for _, end := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		running := rig.Start(t, nil, rig.Binary(t, "pdfmill"), args...)
		running.Await("a few documents are converted", func() bool { return strings.Count(running.Log(), "converted ") >= 5 })
		running.Signal(end)
		code := running.Wait(20 * time.Second)
		if end == syscall.SIGKILL {
			continue
		}
		r := readReport(t, out)
		if code != 1 || r.Totals.Converted == 0 || r.Totals.Converted+r.Totals.Unfinished != n || len(r.Unfinished) != r.Totals.Unfinished {
			t.Errorf("interrupted: exit %d, %+v", code, r.Totals)
		}
		if !strings.Contains(running.Log(), "the same command again continues") {
			t.Errorf("it does not say how to go on: %s", running.Log())
		}
		for _, d := range r.Documents {
			if !bytes.Contains(read(t, d.Markdown), []byte("<!-- page 2 -->")) {
				t.Errorf("%s is not whole", d.Markdown)
			}
		}
	}
	there := map[string]time.Time{}
	files, err := filepath.Glob(filepath.Join(out, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		there[file] = modified(t, file)
	}
	r, _ := converts(t, 0, out, args[1:2]...)
	if r.Totals.Converted != n || r.Totals.Kept != len(there) || len(r.Unfinished) != 0 {
		t.Errorf("after both, %d documents being there: %+v", len(there), r.Totals)
	}
	for file, then := range there {
		if !modified(t, file).Equal(then) {
			t.Errorf("%s was written again", file)
		}
	}
	if left, err := filepath.Glob(filepath.Join(out, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if files, err := filepath.Glob(filepath.Join(out, "*.md")); err != nil || len(files) != n {
		t.Errorf("%d files of Markdown, %v", len(files), err)
	}
}

func modified(t *testing.T, file string) time.Time {
	t.Helper()
	about, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return about.ModTime()
}
