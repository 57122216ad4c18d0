package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Report is a whole run.
type Report struct {
	Machine Machine
	Short   bool
	Results []Result
}

// save writes one result.
func (r *Result) save(dir string, m Machine) error {
	data, err := json.MarshalIndent(struct {
		Machine Machine `json:"machine"`
		*Result
	}{m, r}, "", "  ")
	if err != nil {
		return fmt.Errorf("result of %s: %w", r.Name, err)
	}
	return os.WriteFile(filepath.Join(dir, r.Name+".json"), append(data, '\n'), 0o644)
}

func (r *Report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s.\n\n", r.Machine)
	if r.Short {
		b.WriteString("A short run: it shows that the benchmarks run, not how fast pdfmill is.\n\n")
	}
	b.WriteString("| | target on 2 cores | median | |\n|---|---|---|---|\n")
	for _, result := range r.Results {
		fmt.Fprintf(&b, "| [%s](#%s): %s | %s | %s | %s |\n", result.Name, result.Name, result.Question, result.Target, result.headline(), result.verdict())
	}
	for _, result := range r.Results {
		b.WriteString("\n" + result.markdown())
	}
	return b.String()
}

// headline is the median of the first series, which is the one with the target.
func (r *Result) headline() string {
	if len(r.Series) == 0 {
		return ""
	}
	return number(r.Series[0].median()) + " " + r.Series[0].Unit
}

// Marks in a page: what is between them is a report's.
const (
	beginMark = "<!-- results of make bench: begin -->"
	endMark   = "<!-- results of make bench: end -->"
)

// save writes the summary, and the page if one is wanted.
func (r *Report) save(s settings) error {
	text := r.markdown()
	err := os.WriteFile(filepath.Join(s.out, "summary.md"), []byte("# Benchmarks of pdfmill\n\n"+text), 0o644)
	if err != nil || s.page == "" {
		return err
	}
	page, err := os.ReadFile(s.page)
	if err != nil {
		return fmt.Errorf("page for results: %w", err)
	}
	before, rest, found := strings.Cut(string(page), beginMark)
	_, after, ended := strings.Cut(rest, endMark)
	if !found || !ended {
		return errors.Join(fmt.Errorf("page for results %s: it lacks the marks %q and %q", s.page, beginMark, endMark))
	}
	return os.WriteFile(s.page, []byte(before+beginMark+"\n\n"+text+"\n"+endMark+after), 0o644)
}
