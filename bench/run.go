package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// benchmark answers one question. It fills in the result it is given.
type benchmark struct {
	name string
	// question is what is measured, target what it is to reach on 2 cores.
	question, target string
	run              func(context.Context, *rig, *Result) error
	// asked says that it runs only when it is named: it needs what the others don't.
	asked bool
}

// benchmarks in the order in which they run.
func benchmarks() []benchmark {
	return []benchmark{
		{"convert", "`pdfmill convert` of one small PDF, process start to exit", "median ≤ 1.5 s", measureConvert, false},
		{"up", "`pdfmill up`, process start to ready, and its memory then", "median ≤ 1 s and ≤ 150 MB, idle text workers not counted", measureUp, false},
		{"latency", "one page, from the start of the upload to `pdf.converted`, idle pipeline, engine `text`", "median ≤ 150 ms", measureLatency, false},
		{"null", "1-page PDFs of 100 KB through all stages, engine `null`, durable", "median ≥ 100 documents/s", measureNull, false},
		{"text", "ordinary files of the corpus, engine `text`, against a bare pool of processes", "median ≥ 0.5 × the pool", measureText, false},
		{"turns", "10 documents of a source after a crowd of another's, engine `null`", "≤ 5 × what they take alone", measureTurns, false},
		{"check", "`pdfmill check` of many files, on all cores, against native PDFium (pypdfium2) on the same", "median ≥ 0.4 × native", measureCheck, false},
		{"quality", "`pdfmill convert` on corpus/gt against liteparse alone", "not below it in text, headings or tables", measureQuality, false},
		{"recover", "a worker and a gpu-runner killed in mid-job, to the range in a worker's hands again", "with an idle worker, median ≤ 1 s; on another gpu-runner, always ≤ 15 s", measureRecovery, false},
		{"marker", "`pdfmill convert --engine marker` against marker's own command and server, and what becomes of faults", "median ≥ 1.0 × its command", measureMarker, true},
	}
}

// run measures what s names. A benchmark that can't be measured is an error at the end; the others are.
func run(ctx context.Context, s settings, w io.Writer) error {
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return fmt.Errorf("folder for results: %w", err)
	}
	r, err := newRig(ctx, s, w)
	if err != nil {
		return err
	}
	defer r.close()
	report := Report{Machine: describe(ctx, r), Short: s.short}
	_, _ = fmt.Fprintln(w, report.Machine) // what is printed is also saved
	var faults []error
	for _, b := range benchmarks() {
		if !slices.Contains(s.cases, b.name) {
			continue
		}
		_, _ = fmt.Fprintf(w, "\n%s: %s\n", b.name, b.question)
		result := Result{Name: b.name, Question: b.question, Target: b.target, LoadBefore: load()}
		if err := b.run(ctx, r, &result); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", b.name, err))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		result.LoadAfter = load()
		_, _ = fmt.Fprint(w, result.text())
		report.Results = append(report.Results, result)
		if err := result.save(s.out, report.Machine); err != nil {
			return err
		}
	}
	if err := report.save(s); err != nil {
		return err
	}
	return errors.Join(faults...)
}
