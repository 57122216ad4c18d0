package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

func measureConvert(ctx context.Context, r *rig, result *Result) error {
	pdf := filepath.Join(r.dir, "small.pdf")
	if err := os.WriteFile(pdf, onePage("A small document", 0), 0o600); err != nil {
		return err
	}
	script, err := r.poolScript()
	if err != nil {
		return err
	}
	ours := Series{Label: "pdfmill convert", Unit: "s"}
	bare := Series{Label: "the engine alone, in a process of its own", Unit: "s"}
	for range r.times(15, 2) {
		seconds, err := r.timed(ctx, r.binary(), "convert", pdf, "-o", r.fresh("convert"))
		if err != nil {
			return err
		}
		ours.add(seconds)
		if seconds, err = r.timed(ctx, r.python, script, "--once", pdf); err != nil {
			return err
		}
		bare.add(seconds)
	}
	result.Inputs = "a PDF of one page and 600 bytes"
	result.Series = []Series{ours, bare, ours.over("convert ÷ alone", bare)}
	result.Reached = ours.median() <= 1.5
	return nil
}

func measureUp(ctx context.Context, r *rig, result *Result) error {
	ready := Series{Label: "start to ready", Unit: "s"}
	memory := Series{Label: "resident when ready, text workers not counted", Unit: "MB"}
	bare := Series{Label: "pdfmill version, which starts nothing", Unit: "s"}
	parts := ""
	for range r.times(11, 2) {
		d, err := r.up(ctx)
		if err != nil {
			return err
		}
		mb, made, memoryErr := d.memory()
		if err := errors.Join(memoryErr, d.stop()); err != nil {
			return err
		}
		parts = made
		ready.add(d.ready)
		memory.add(mb)
		seconds, err := r.timed(ctx, r.binary(), "version")
		if err != nil {
			return err
		}
		bare.add(seconds)
	}
	result.Inputs = "an empty data folder, two idle text workers"
	result.Series = []Series{ready, memory, bare}
	result.note("the memory, in the last run: %s", parts)
	result.Reached = ready.median() <= 1 && memory.median() <= 150
	return nil
}

func measureLatency(ctx context.Context, r *rig, result *Result) error {
	d, err := r.up(ctx)
	if err != nil {
		return err
	}
	upload, copied, err := latencies(ctx, r, d)
	if err = errors.Join(err, d.stop()); err != nil {
		return err
	}
	p, err := r.startPool(ctx, 1)
	if err != nil {
		return err
	}
	bare := Series{Label: "the engine alone, loaded", Unit: "ms"}
	for i := range len(upload.Values) {
		file := filepath.Join(r.dir, "bare.pdf")
		if err := os.WriteFile(file, onePage(fmt.Sprintf("Bare %d", i), 0), 0o600); err != nil {
			return err
		}
		done, err := p.convert([]string{file})
		if err != nil {
			return err
		}
		bare.add(done.Seconds * 1000)
	}
	result.Inputs = "PDFs of one page and 600 bytes, one after the other, each a new one; settings as they are by default (synced)"
	result.Series = []Series{upload, copied, bare}
	result.note("p95 of uploads: %s ms", number(upload.quantile(0.95)))
	result.note("a copied file must not have changed for 200 ms before it is taken")
	result.Reached = upload.median() <= 150
	return p.close()
}

// latencies are those of uploads and of files that are copied into the inbox's folder.
func latencies(ctx context.Context, r *rig, d *daemon) (upload, copied Series, err error) {
	upload = Series{Label: "upload to pdf.converted", Unit: "ms"}
	copied = Series{Label: "copied file to pdf.converted", Unit: "ms"}
	v, err := drive(ctx, d)
	if err != nil {
		return upload, copied, err
	}
	defer v.close()
	measure := func(s *Series, drop func() error) error {
		started := time.Now()
		if err := drop(); err != nil {
			return err
		}
		a, err := v.next(ctx)
		if err == nil && a.subject != "pdf.converted" {
			err = fmt.Errorf("%s: %s", a.source, a.subject)
		}
		s.add(float64(a.at.Sub(started).Microseconds()) / 1000)
		return err
	}
	var warmup Series
	for i := range r.times(51, 4) {
		s := &upload
		if i == 0 {
			s = &warmup
		}
		pdf := onePage(fmt.Sprintf("Uploaded %d", i), 0)
		if err := measure(s, func() error { return v.put(ctx, fmt.Sprintf("upload-%d.pdf", i), pdf) }); err != nil {
			return upload, copied, err
		}
	}
	for i := range r.times(10, 2) {
		pdf := onePage(fmt.Sprintf("Copied %d", i), 0)
		name := filepath.Join(d.InboxDir, fmt.Sprintf("copied-%d.pdf", i))
		if err := measure(&copied, func() error { return os.WriteFile(name, pdf, 0o600) }); err != nil {
			return upload, copied, err
		}
	}
	return upload, copied, nil
}

func measureNull(ctx context.Context, r *rig, result *Result) error {
	const clients = 8
	n := r.times(600, 40)
	documents := make([]document, n)
	for i := range documents {
		documents[i] = document{fmt.Sprintf("null-%d.pdf", i), onePage(fmt.Sprintf("Null %d", i), 100_000)}
	}
	rates, cost := map[string]*Series{}, Series{Label: "processor time a document, synced", Unit: "ms"}
	durabilities := []string{"synced", "relaxed"}
	for _, durability := range durabilities {
		rates[durability] = &Series{Label: durability + ", all stages", Unit: "1/s"}
	}
	uploads := Series{Label: "its uploads", Unit: "1/s"}
	var last flooded
	for range r.times(5, 1) {
		for _, durability := range durabilities {
			d, err := r.up(ctx, "--durability", durability, "--serve", "null", "--engines", "null", "--auto-engine", "null")
			if err != nil {
				return err
			}
			f, err := flood(ctx, d, clients, documents)
			if err = errors.Join(err, d.stop()); err != nil {
				return err
			}
			if f.failed > 0 {
				return fmt.Errorf("%d documents failed", f.failed)
			}
			rates[durability].add(float64(n) / f.seconds)
			if durability == "synced" {
				last = f
				uploads.add(float64(n) / f.uploaded)
				cost.add(f.worked() / float64(n) * 1000)
			}
		}
	}
	result.Inputs = fmt.Sprintf("%d different PDFs of one page and 100 KB of noise, uploaded by %d clients at once, a fresh data folder each run", n, clients)
	result.Series = []Series{*rates["synced"], uploads, cost, *rates["relaxed"]}
	result.Reached = rates["synced"].median() >= 100
	result.note("processor time a document in the last synced run: %s", last.split(n))
	result.note("synced is the default: what was acknowledged survives a power cut; relaxed is the baseline, it syncs nothing")
	return nil
}

func measureText(ctx context.Context, r *rig, result *Result) error {
	files, err := r.ordinary()
	if err != nil {
		return err
	}
	if r.short {
		files = files[:min(len(files), 6)]
	}
	documents := make([]document, len(files))
	for i, file := range files {
		pdf, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		documents[i] = document{fmt.Sprintf("%d-%s", i, filepath.Base(file)), pdf}
	}
	warmup := make([]document, 8)
	for i := range warmup {
		warmup[i] = document{fmt.Sprintf("warm-up-%d.pdf", i), onePage(fmt.Sprintf("Warm-up %d", i), 0)}
	}
	p, err := r.startPool(ctx, runtime.NumCPU())
	if err != nil {
		return err
	}
	if _, err := p.convert(files); err != nil { // its first round is slower
		return err
	}
	ours, bare := Series{Label: "pdfmill", Unit: "pages/s"}, Series{Label: "bare pool", Unit: "pages/s"}
	cost, poolCost := Series{Label: "processor time of pdfmill, all files", Unit: "s"}, Series{Label: "processor time of the pool", Unit: "s"}
	pages, last := 0, flooded{}
	for range r.times(7, 1) {
		done, err := p.convert(files)
		if err != nil {
			return err
		}
		pages = done.Pages
		bare.add(float64(done.Pages) / done.Seconds)
		poolCost.add(done.cpu)
		d, err := r.up(ctx)
		if err != nil {
			return err
		}
		_, err = flood(ctx, d, 8, warmup) // the pool is warm as well
		var f flooded
		if err == nil {
			f, err = flood(ctx, d, 8, documents)
		}
		if err = errors.Join(err, d.stop()); err != nil {
			return err
		}
		if f.failed != done.Failed {
			result.note("%d documents failed, %d in the pool", f.failed, done.Failed)
		}
		ours.add(float64(done.Pages) / f.seconds)
		cost.add(f.worked())
		last = f
	}
	ratio := ours.over("pdfmill ÷ pool", bare)
	result.Inputs = fmt.Sprintf("%d ordinary files of the corpus, %d pages, uploaded by 8 clients at once, a fresh data folder each run, which has converted 8 small documents before; %d processes each", len(files), pages, runtime.NumCPU())
	result.Series = []Series{ratio, ours, bare, poolCost.over("processor time, pool ÷ pdfmill", cost), cost, poolCost}
	result.Reached = ratio.median() >= 0.5
	result.note("processor time a document in the last run: %s", last.split(len(files)))
	result.note("processor time tells what is left of the ratio on a machine that others use as well")
	return p.close()
}

// ordinary are the files of the corpus that everybody converts.
func (r *rig) ordinary() ([]string, error) {
	if r.corpus == "" {
		return nil, errors.New("no corpus: name one with --corpus or $PDFMILL_CORPUS")
	}
	rows, err := readCSV(filepath.Join(r.corpus, "manifest.csv"))
	if err != nil {
		return nil, err
	}
	name, class := slices.Index(rows[0], "file"), slices.Index(rows[0], "class")
	if name < 0 || class < 0 {
		return nil, fmt.Errorf("manifest of %s has no columns file and class", r.corpus)
	}
	var files []string
	for _, row := range rows[1:] {
		if row[class] == "ok" {
			files = append(files, filepath.Join(r.corpus, row[name]))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no file of class ok in %s", r.corpus)
	}
	return files, nil
}
