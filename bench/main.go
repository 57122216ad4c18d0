// Command bench measures the built pdfmill from outside: with stock clients, each figure beside a baseline of the same run. It prints what it measures as it goes,
// and writes each result to out/<name>.json and all of them to out/summary.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, s, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings say what to measure and how often.
type settings struct {
	bin    string // folder of the built binary
	out    string // folder for results
	page   string // Markdown file whose results to replace; "" for none
	corpus string // folder with manifest.csv and gt; "" for none
	cases  []string
	short  bool // a few runs of little work each: shows that it runs, not how fast
}

func parse(args []string) (settings, error) {
	var s settings
	var only string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&s.bin, "bin", "../bin", "folder of the built binary")
	f.StringVar(&s.out, "out", "out", "folder for results")
	f.StringVar(&s.page, "page", "", "Markdown file whose results, between its two marks, are replaced")
	f.StringVar(&s.corpus, "corpus", os.Getenv("PDFMILL_CORPUS"), "corpus with manifest.csv, and gt for quality; default $PDFMILL_CORPUS")
	f.StringVar(&only, "only", "", "names of benchmarks, separated by commas; default: all but marker, which needs marker installed")
	f.BoolVar(&s.short, "short", false, "little work: to see that the benchmarks run")
	names := make([]string, 0, len(benchmarks()))
	for _, b := range benchmarks() {
		names = append(names, b.name)
		if !b.asked {
			s.cases = append(s.cases, b.name)
		}
	}
	f.Usage = func() {
		_, _ = fmt.Fprintf(f.Output(), "Measures pdfmill. Benchmarks: %s.\n\n", strings.Join(names, ", "))
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if only != "" {
		s.cases = strings.Split(only, ",")
	}
	for _, name := range s.cases {
		if !slices.Contains(names, name) {
			return s, fmt.Errorf("there is no benchmark %q: there are %s", name, strings.Join(names, ", "))
		}
	}
	var faults []error
	for _, path := range []*string{&s.bin, &s.out, &s.page, &s.corpus} {
		if *path != "" {
			absolute, err := filepath.Abs(*path)
			*path = absolute
			faults = append(faults, err)
		}
	}
	return s, errors.Join(faults...)
}
