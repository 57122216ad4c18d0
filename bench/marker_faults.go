package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// idle is how long a run may do nothing before it counts as waiting for ever.
const idle = 90 * time.Second

// each runs marker's command, then pdfmill, and notes what is said of both.
func (v *rivals) each(result *Result, what string, run func(start func(context.Context, string, string, ...string) (*running, error), ours bool) (string, error)) error {
	command, err := run(v.startCommand, false)
	if err != nil {
		return fmt.Errorf("%s: marker: %w", what, err)
	}
	own, err := run(v.startOurs, true)
	if err != nil {
		return fmt.Errorf("%s: pdfmill: %w", what, err)
	}
	result.note("%s: marker's command %s; pdfmill %s", what, command, own)
	_, _ = fmt.Fprintf(v.r.out, "  %s\n", result.Notes[len(result.Notes)-1]) // it takes minutes: a sign of life
	return nil
}

// cutOff is the name of a file that is cut off.
const cutOff = "cut-off.pdf"

// withCutOff makes a folder of three good files and one that is cut off.
func (v *rivals) withCutOff(ctx context.Context) (string, error) {
	in, _, err := v.inputs(ctx, 1, 3)
	if err != nil {
		return "", err
	}
	whole, err := os.ReadFile(papers(in)[0])
	if err != nil {
		return "", err
	}
	return in, os.WriteFile(filepath.Join(in, cutOff), whole[:len(whole)/10], 0o600)
}

// corrupt puts a file that is cut off among good ones.
func (v *rivals) corrupt(ctx context.Context, result *Result) error {
	in, err := v.withCutOff(ctx)
	if err != nil {
		return err
	}
	return v.each(result, "one of four PDFs is cut off", func(start func(context.Context, string, string, ...string) (*running, error), _ bool) (string, error) {
		out := v.r.fresh("out")
		p, err := start(ctx, in, out)
		if err != nil {
			return "", err
		}
		<-p.ended
		return fmt.Sprintf("writes %d documents and exits with %d", len(outputs(out)), p.status()), nil
	})
}

// killed takes a worker away in the middle.
func (v *rivals) killed(ctx context.Context, result *Result) error {
	in, _, err := v.inputs(ctx, 1, 8)
	if err != nil {
		return err
	}
	return v.each(result, "a worker is killed (SIGKILL) after the first of eight documents", func(start func(context.Context, string, string, ...string) (*running, error), ours bool) (string, error) {
		out := v.r.fresh("out")
		p, err := start(ctx, in, out)
		if err != nil {
			return "", err
		}
		defer p.kill()
		if err := v.until(p, out, 1); err != nil {
			return "", err
		}
		if err := killWorker(p.cmd.Process.Pid, ours); err != nil {
			return "", err
		}
		done, last := 0, time.Now()
		for {
			select {
			case <-p.ended:
				return fmt.Sprintf("ends with all but %d done, exit %d", len(papers(in))-len(outputs(out)), p.status()), nil
			case <-time.After(500 * time.Millisecond):
			}
			if n := len(outputs(out)); n > done {
				done, last = n, time.Now()
			}
			if time.Since(last) > idle {
				return fmt.Sprintf("still waits %.0f s after its last document, %d of %d done", idle.Seconds(), done, len(papers(in))), nil
			}
		}
	})
}

// until waits for so many documents.
func (v *rivals) until(p *running, out string, n int) error {
	for len(outputs(out)) < n {
		select {
		case <-p.ended:
			return fmt.Errorf("it ended before document %d: %w\n%s", n, p.err, p.said.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// killWorker kills the worker that has worked most.
func killWorker(root int, ours bool) error {
	all, err := family(root)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(p process) bool {
		return (ours && p.isWorker()) || (!ours && slices.ContainsFunc(p.args, func(a string) bool { return strings.Contains(a, "spawn_main") }))
	})
	if at < 0 {
		return fmt.Errorf("no worker among %d processes", len(all))
	}
	return syscall.Kill(all[at].pid, syscall.SIGKILL)
}

// restarted kills everything half way and starts again.
func (v *rivals) restarted(ctx context.Context, result *Result) error {
	in, _, err := v.inputs(ctx, 1, 8)
	if err != nil {
		return err
	}
	const half = 4
	return v.each(result, "everything is killed after four of eight documents, and started again", func(start func(context.Context, string, string, ...string) (*running, error), ours bool) (string, error) {
		out, more := v.r.fresh("out"), []string{"--skip_existing"}
		if ours {
			more = []string{"--data", v.r.fresh("data")}
		}
		p, err := start(ctx, in, out, more...)
		if err != nil {
			return "", err
		}
		if err := v.until(p, out, half); err != nil {
			p.kill()
			return "", err
		}
		p.kill()
		before := map[string]time.Time{}
		for _, file := range outputs(out) {
			if about, err := os.Stat(file); err == nil {
				before[file] = about.ModTime()
			}
		}
		if p, err = start(ctx, in, out, more...); err != nil {
			return "", err
		}
		<-p.ended
		written := map[string]bool{}
		for file, then := range before {
			if about, err := os.Stat(file); err != nil || !about.ModTime().Equal(then) {
				written[file] = true
			}
		}
		converted := len(written) // marker writes what it converts, and converts what it writes
		if ours {
			if converted, err = convertedAgain(out, before); err != nil {
				return "", err
			}
		}
		return fmt.Sprintf("has all but %d then (exit %d), of %d that were there converted %d again and wrote %d again",
			len(papers(in))-len(outputs(out)), p.status(), len(before), converted, len(written)), nil
	})
}

// convertedAgain counts the documents of a run of pdfmill that were there before and of which it neither kept the output nor had the pages.
func convertedAgain(out string, before map[string]time.Time) (int, error) {
	data, err := os.ReadFile(filepath.Join(out, "report.json"))
	if err != nil {
		return 0, err
	}
	var report struct {
		Documents []struct {
			Markdown     string
			Kept, Cached bool
		}
	}
	if err := json.Unmarshal(data, &report); err != nil {
		return 0, err
	}
	n := 0
	for _, d := range report.Documents {
		if _, there := before[d.Markdown]; there && !d.Kept && !d.Cached {
			n++
		}
	}
	return n, nil
}

// full lets the disk for the output run full.
func (v *rivals) full(ctx context.Context, result *Result) error {
	in, _, err := v.inputs(ctx, 1, 8)
	if err != nil {
		return err
	}
	return v.each(result, "the disk for the output has "+small+"B", func(start func(context.Context, string, string, ...string) (*running, error), _ bool) (string, error) {
		out := v.r.fresh("out")
		if err := os.Mkdir(out, 0o700); err != nil {
			return "", err
		}
		unmount, err := mountSmall(ctx, out)
		if err != nil {
			return notRoot, nil //nolint:nilerr // said in the note
		}
		defer unmount()
		p, err := start(ctx, in, out)
		if err != nil {
			return "", err
		}
		<-p.ended
		empty := 0
		for _, file := range outputs(out) {
			if about, err := os.Stat(file); err == nil && about.Size() == 0 {
				empty++
			}
		}
		return fmt.Sprintf("leaves %d documents, %d of them empty, and exits with %d", len(outputs(out)), empty, p.status()), nil
	})
}
