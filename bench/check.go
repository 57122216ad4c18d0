package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"time"
)

//go:embed pool/native.py
var nativeScript []byte

// opened is what became of files that were opened.
type opened struct {
	Files int `json:"files"`
	OK    int `json:"ok"`
	Pages int `json:"pages"`

	seconds float64
	cpu     float64 // seconds that the process and its children worked
}

func measureCheck(ctx context.Context, r *rig, result *Result) error {
	folder, files, err := r.copies(r.times(4, 1))
	if err != nil {
		return err
	}
	script := filepath.Join(r.dir, "native.py")
	if err := os.WriteFile(script, nativeScript, 0o600); err != nil {
		return err
	}
	cores := strconv.Itoa(runtime.NumCPU())
	ours, bare := Series{Label: "pdfmill check, all safety on", Unit: "files/s"}, Series{Label: "native PDFium", Unit: "files/s"}
	cost, bareCost := Series{Label: "processor time of pdfmill check, a file", Unit: "ms"}, Series{Label: "processor time of native PDFium, a file", Unit: "ms"}
	busy, bareBusy := Series{Label: "cores that pdfmill check keeps busy", Unit: "cores"}, Series{Label: "cores that native PDFium keeps busy", Unit: "cores"}
	var mine, native opened
	for range r.times(5, 1) {
		if native, err = r.open(ctx, r.python, script, cores, folder); err != nil {
			return err
		}
		if mine, err = r.open(ctx, r.binary(), "check", "--json", "--parallel", cores, folder); err != nil {
			return err
		}
		ours.add(float64(mine.Files) / mine.seconds)
		bare.add(float64(native.Files) / native.seconds)
		cost.add(mine.cpu / float64(mine.Files) * 1000)
		bareCost.add(native.cpu / float64(native.Files) * 1000)
		busy.add(mine.cpu / mine.seconds)
		bareBusy.add(native.cpu / native.seconds)
	}
	ratio := ours.over("pdfmill check ÷ native", bare)
	result.Inputs = fmt.Sprintf("%d files (those of the corpus that are not exotic: native PDFium has no bounds), opened, every page counted, loaded and its text counted; %s processes each", files, cores)
	result.Series = []Series{ratio, ours, bare, bareCost.over("processor time, native ÷ pdfmill check", cost), cost, bareCost, busy, bareBusy}
	result.Reached = ratio.median() >= 0.4
	result.note("good files: %d, native %d; pages loaded: %d, native %d", mine.OK, native.OK, mine.Pages, native.Pages)
	result.note("the start of the processes counts on both sides")
	layers, err := r.layers(ctx)
	result.Series = append(result.Series, layers...)
	return err
}

// copies links the files of the corpus that native PDFium can be trusted with n times into a folder.
func (r *rig) copies(n int) (folder string, files int, err error) {
	if r.corpus == "" {
		return "", 0, errors.New("no corpus: name one with --corpus or $PDFMILL_CORPUS")
	}
	rows, err := readCSV(filepath.Join(r.corpus, "manifest.csv"))
	if err != nil {
		return "", 0, err
	}
	name, class := slices.Index(rows[0], "file"), slices.Index(rows[0], "class")
	folder = r.fresh("check")
	for i := range n {
		dir := filepath.Join(folder, strconv.Itoa(i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", 0, err
		}
		for _, row := range rows[1:] {
			if row[class] == "exotic" {
				continue
			}
			content, err := os.ReadFile(filepath.Join(r.corpus, row[name]))
			if err != nil {
				return "", 0, err
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(row[name])), content, 0o600); err != nil {
				return "", 0, err
			}
			files++
		}
	}
	return folder, files, nil
}

// open runs a command that opens files. It may say, with exit code 1, that some are not good.
func (r *rig) open(ctx context.Context, command string, args ...string) (o opened, err error) {
	cmd := exec.CommandContext(ctx, command, args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	started := time.Now()
	err = cmd.Run()
	o.seconds = time.Since(started).Seconds()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return o, fmt.Errorf("%s: %w\n%s", filepath.Base(command), err, complaint.String())
	}
	o.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	for line := range bytes.Lines(out.Bytes()) {
		var one struct {
			opened
			Verdict string
			Facts   struct {
				LoadablePages int `json:"loadable_pages"`
			}
		}
		if err := json.Unmarshal(line, &one); err != nil {
			return o, fmt.Errorf("%s said %q: %w", filepath.Base(command), line, err)
		}
		if one.Verdict == "" { // the sum of all
			o.Files, o.OK, o.Pages = one.Files, one.OK, one.opened.Pages
			continue
		}
		o.Files++
		o.Pages += one.Facts.LoadablePages
		if one.Verdict == "ok" {
			o.OK++
		}
	}
	return o, nil
}

var layerLine = regexp.MustCompile(`(?m)^BenchmarkLayers/(\S+?)(?:-\d+)?\s+\d+\s.*?([\d.]+) ms/file`)

// layers are what each layer of safety costs, as the sandbox's own benchmark tells: one after the other, each with those before it.
func (r *rig) layers(ctx context.Context) ([]Series, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkLayers$", "-benchtime", "1x", "-count", strconv.Itoa(r.times(5, 1)), "./sandbox", ".")
	cmd.Dir = filepath.Join("..", "services", "validator")
	cmd.Env = append(os.Environ(), "PDFMILL_CORPUS="+r.corpus)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("benchmark of the layers: %w\n%s", err, out)
	}
	var all []Series
	for _, m := range layerLine.FindAllStringSubmatch(string(out), -1) {
		label := "layer: " + regexp.MustCompile(`_`).ReplaceAllString(m[1], " ")
		i := slices.IndexFunc(all, func(s Series) bool { return s.Label == label })
		if i < 0 {
			i, all = len(all), append(all, Series{Label: label, Unit: "ms"})
		}
		value, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return nil, err
		}
		all[i].add(value)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("benchmark of the layers said nothing\n%s", out)
	}
	return all, nil
}
