package main

import (
	"fmt"
	"slices"
	"strings"
)

// Series is one quantity, measured several times.
type Series struct {
	Label  string    `json:"label"`
	Unit   string    `json:"unit"`
	Values []float64 `json:"values"` // in the order measured
}

func (s *Series) add(v float64) { s.Values = append(s.Values, v) }

// quantile of the values by nearest rank: 0 is the least, 0.5 the median, 1 the greatest; 0 without values.
func (s Series) quantile(q float64) float64 {
	if len(s.Values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.Values))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

func (s Series) median() float64 { return s.quantile(0.5) }

// over is s divided by its partner, run by run.
func (s Series) over(label string, partner Series) Series {
	ratio := Series{Label: label, Unit: "×"}
	for i := range min(len(s.Values), len(partner.Values)) {
		ratio.add(s.Values[i] / partner.Values[i])
	}
	return ratio
}

// Result is what a benchmark found.
type Result struct {
	Name       string   `json:"name"`
	Question   string   `json:"question"`
	Target     string   `json:"target"`
	Inputs     string   `json:"inputs"`
	Series     []Series `json:"series"`
	Reached    bool     `json:"reached"`
	Notes      []string `json:"notes,omitempty"`
	LoadBefore string   `json:"load_before"` // of the machine in the last minute, ours included
	LoadAfter  string   `json:"load_after"`
}

func (r *Result) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// rows are the lines of a table: label, unit, runs, min, median, max.
func (r *Result) rows() [][]string {
	rows := make([][]string, 0, len(r.Series))
	for _, s := range r.Series {
		rows = append(rows, []string{
			s.Label, s.Unit, fmt.Sprint(len(s.Values)), number(s.quantile(0)), number(s.median()), number(s.quantile(1)),
		})
	}
	return rows
}

// number prints three significant digits.
func number(v float64) string {
	switch {
	case v >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func (r *Result) verdict() string {
	if r.Reached {
		return "reached"
	}
	return "missed"
}

// text is the result for a terminal.
func (r *Result) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  inputs: %s\n", r.Inputs)
	width := 0
	for _, s := range r.Series {
		width = max(width, len([]rune(s.Label)))
	}
	fmt.Fprintf(&b, "  %-*s %6s %5s %9s %9s %9s\n", width, "", "unit", "runs", "min", "median", "max")
	for _, row := range r.rows() {
		label := row[0] + strings.Repeat(" ", width-len([]rune(row[0])))
		fmt.Fprintf(&b, "  %s %6s %5s %9s %9s %9s\n", label, row[1], row[2], row[3], row[4], row[5])
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "  %s\n", n)
	}
	fmt.Fprintf(&b, "  target: %s: %s (load of the machine: %s before, %s after)\n", r.Target, r.verdict(), r.LoadBefore, r.LoadAfter)
	return b.String()
}

// markdown is the result as a section of a page.
func (r *Result) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n%s. Target: %s: **%s**.\n\nInputs: %s.\n\n", r.Name, upper(r.Question), r.Target, r.verdict(), r.Inputs)
	b.WriteString("| | unit | runs | min | median | max |\n|---|---|---|---|---|---|\n")
	for _, row := range r.rows() {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	b.WriteString("\n")
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	fmt.Fprintf(&b, "- load of the machine in the last minute: %s before, %s after\n", r.LoadBefore, r.LoadAfter)
	return b.String()
}

func upper(s string) string {
	if s == "" || s[0] == '`' {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
