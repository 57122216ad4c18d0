package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// settings say what to measure, and where the programs are.
type settings struct {
	bin, nats, gateway, dir, out string
	depths                       []int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "queue:", err)
		os.Exit(1)
	}
}

func parse(args []string) (settings, error) {
	var s settings
	f := flag.NewFlagSet("queue", flag.ContinueOnError)
	f.StringVar(&s.bin, "bin", "../bin", "folder of the built binaries")
	f.StringVar(&s.nats, "nats-server", "", "the stock server; default: what (cd ../e2e; go tool -n nats-server) names")
	f.StringVar(&s.gateway, "versitygw", "", "the stock gateway; likewise")
	f.StringVar(&s.dir, "dir", "", "folder for a new folder of all that is stored, some 1.3 GB for a million ranges; default: the system's temporary one")
	f.StringVar(&s.out, "out", "out", "folder for queue.json")
	depths := f.String("depths", "10000,1000000", "ranges that wait, fewest first")
	f.Usage = func() {
		_, _ = fmt.Fprint(f.Output(), "Measures what a long queue costs its head.\n\n")
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return s, err
	}
	for text := range strings.SplitSeq(*depths, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || len(s.depths) > 0 && n <= s.depths[len(s.depths)-1] {
			return s, fmt.Errorf("--depths %s: numbers, fewest first", *depths)
		}
		s.depths = append(s.depths, n)
	}
	for _, path := range []*string{&s.bin, &s.out} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return s, err
		}
		*path = absolute
	}
	return s, nil
}

func run(ctx context.Context, s settings) (err error) {
	r, err := newRig(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	var all []level
	for _, depth := range s.depths {
		l, err := r.measure(ctx, depth)
		if err != nil {
			return fmt.Errorf("at %d ranges: %w", depth, err)
		}
		all = append(all, l)
		content, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", content[1:len(content)-1])
		if err := os.MkdirAll(s.out, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(s.out, "queue.json"), append(content, '\n'), 0o600); err != nil {
			return err
		}
	}
	return nil
}
