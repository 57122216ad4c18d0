package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Marks in a page: what is between them is this program's.
const (
	beginMark = "<!-- results of make bench-vram: begin -->"
	endMark   = "<!-- results of make bench-vram: end -->"
)

// writePage puts the results into a page, and the picture beside it.
func writePage(ctx context.Context, path string, results []result, long bool) error {
	page, err := os.ReadFile(path) //nolint:gosec // named by whoever runs this
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(page), beginMark)
	_, after, ended := strings.Cut(rest, endMark)
	if !found || !ended {
		return fmt.Errorf("%s lacks the marks %q and %q", path, beginMark, endMark)
	}
	if err := os.WriteFile(path, []byte(before+beginMark+"\n\n"+markdown(results, long)+"\n"+endMark+after), 0o644); err != nil { //nolint:gosec // documentation
		return err
	}
	svg, err := picture(ctx)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(filepath.Dir(path), "vram.svg"), []byte(svg), 0o644) //nolint:gosec // documentation
}

func markdown(results []result, long bool) string {
	var b strings.Builder
	if !long {
		b.WriteString("A short run: too few jobs to say that an error is rare.\n\n")
	}
	b.WriteString("| law | cards | policy | jobs | out of memory | lost | pages an hour | × fixed-2 | memory-time at work |\n|---|---|---|---|---|---|---|---|---|\n")
	two := map[string]float64{} // pages an hour of fixed-2, where it does its work
	where := func(r result) string { return fmt.Sprintf("%s | %d × %d GB", r.law.name, r.cards, r.gb) }
	for _, r := range results {
		if r.workers == 2 && r.Lost*100 < r.Jobs {
			two[where(r)] = r.PagesPerHour
		}
	}
	for _, r := range results {
		if r.plain() {
			times := "–"
			if two[where(r)] > 0 {
				times = fmt.Sprintf("%.2f", r.PagesPerHour/two[where(r)])
			}
			fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %.0f | %s | %.0f %% |\n",
				where(r), r.Policy, r.Jobs, r.OOM, r.Lost, r.PagesPerHour, times, 100*r.MemoryTimeUsed)
		}
	}
	b.WriteString("\nThe ledger on one card of 24 GB, linear, where something is different:\n\n| what | jobs | out of memory | lost | × fixed-2 |\n|---|---|---|---|---|\n")
	for _, r := range results {
		if !r.plain() {
			what := fmt.Sprintf("Pareto %.1f, seed %d", r.tail, r.seed)
			if r.prior == bad {
				what = "a prior that expects a quarter, to begin with"
			}
			fmt.Fprintf(&b, "| %s | %d | %d | %d | %.2f |\n", what, r.Jobs, r.OOM, r.Lost, r.PagesPerHour/two[where(r)])
		}
	}
	return b.String()
}
