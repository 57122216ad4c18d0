package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := start(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "vram:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("vram", flag.ContinueOnError)
	out := f.String("out", "out", "folder for vram.json and its companions")
	page := f.String("page", "", "Markdown file whose results, between its two marks, are replaced; the picture goes beside it")
	long := f.Bool("long", false, "a million jobs for the ledger, and more for everybody; minutes instead of seconds")
	f.Usage = func() {
		_, _ = fmt.Fprint(f.Output(), "Compares the ledger of the gpu-runner with fixed pools of workers, in simulated time.\n\n")
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		if err == flag.ErrHelp { //nolint:errorlint // it is never wrapped
			return nil
		}
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	var results []result
	for _, c := range cases(*long) {
		r, err := c.run(ctx)
		if err != nil {
			return err
		}
		fmt.Println(r)
		results = append(results, r)
	}
	for name, which := range files {
		if err := save(filepath.Join(*out, name), results, which); err != nil {
			return err
		}
	}
	if *page == "" {
		return nil
	}
	return writePage(ctx, *page, results, *long)
}

// files are written with the results that belong there.
var files = map[string]func(c scenario) bool{
	"vram.json":            func(c scenario) bool { return c.plain() && c.law.name == linear.name },
	"vram-saturating.json": func(c scenario) bool { return c.plain() && c.law.name == saturating.name },
	"vram-learning.json":   func(c scenario) bool { return c.prior == bad },
}

func save(path string, results []result, which func(c scenario) bool) error {
	var list struct {
		Scenarios []result `json:"scenarios"`
	}
	for _, r := range results {
		if which(r.scenario) {
			list.Scenarios = append(list.Scenarios, r)
		}
	}
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644) //nolint:gosec // a report
}
