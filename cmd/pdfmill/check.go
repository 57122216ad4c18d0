package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/batch"
	"github.com/pdfmill/pdfmill/pipeline/config"
	"github.com/pdfmill/pdfmill/pipeline/secret"
	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
	"github.com/pdfmill/pdfmill/services/validator"
	"github.com/pdfmill/pdfmill/services/validator/sandbox"
)

type checkCommand struct {
	Paths         []string           `arg:"" name:"FILE" help:"PDF files; directories are searched for *.pdf; - is standard input."`
	MaxRangePages int                `name:"max-range-pages" env:"PDFMILL_MAX_RANGE_PAGES" default:"32" placeholder:"N" help:"What a range may cost, in ordinary pages (${default})."`
	Cache         string             `env:"PDFMILL_CACHE" type:"path" placeholder:"DIR" help:"Folder for compiled code. Default: pdfmill in the user's cache folder."`
	Parallel      int                `default:"0" placeholder:"N" help:"Files inspected at once; 0: one a core."`
	PasswordRef   string             `name:"password-ref" placeholder:"NAME" help:"Name of a secret whose passwords may open the files."`
	Secrets       secret.Config      `embed:""`
	Policies      validator.Policies `embed:""`
	Limits        validator.Limits   `embed:"" group:"Limits:"`

	user *unprivileged.User // whom files are opened as; nil: the user of this process
}

// Help implements kong's help provider.
func (checkCommand) Help() string {
	return `Nothing is converted or stored, and nothing is sent anywhere. --json prints one object a line, in the order of the files, with what is known of the
document and how it would be cut into page ranges. Pages that no engine would see are in facts.failed, each with its class.

Exit codes: 0 every file would be accepted, 1 some would be refused, 2 the command line is wrong, 3 the check itself failed.

Examples:
  pdfmill check report.pdf
  pdfmill check inbox/ --json | jq -r 'select(.verdict == "refused") | .input + ": " + .message'
  PDFMILL_SECRET_TEAM=… pdfmill check locked.pdf --password-ref team`
}

// Run inspects files, several at once, and reports on them in their order.
func (c *checkCommand) Run(g *globals, std streams) error {
	stop, ctx, done := interruptible()
	defer done()
	ctx = untilStop(ctx, stop)
	if c.Parallel <= 0 {
		c.Parallel = runtime.NumCPU()
	}
	inspector, err := c.inspector(std)
	if err != nil {
		return err
	}
	defer inspector.Close()
	inputs := batch.Expand(c.Paths)
	if err := errors.Join(unusable(inputs), silentStdin(inputs, std)); err != nil {
		return err
	}
	refused, shown := false, 0
	check := func(ctx context.Context, in batch.Input) (validator.Report, error) {
		return c.one(ctx, inspector, in, std.in)
	}
	err = inOrder(ctx, inputs, c.Parallel, size, check, func(r validator.Report) error {
		refused, shown = refused || r.Verdict != validator.VerdictOK, shown+1
		return show(std.out, g.JSON, r)
	})
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("stopped: %d of %d files were checked", shown, len(inputs))
	case err != nil:
		return err
	case refused:
		return some()
	}
	return nil
}

// size is the bytes of a file, by which a long inspection is guessed; 0 when nobody knows.
func size(in batch.Input) int64 {
	if in.Stream || in.Err != nil {
		return 0
	}
	info, err := os.Stat(in.File)
	if err != nil {
		return 0
	}
	return info.Size()
}

func (c *checkCommand) inspector(std streams) (*validator.Inspector, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file, which the sandbox is started from: %w", err)
	}
	cache, err := config.CacheDir(c.Cache)
	if err != nil {
		return nil, err
	}
	if c.user, err = unprivileged.Find(unprivileged.Auto); err != nil {
		return nil, err
	}
	if err := c.user.Reach(filepath.Join(os.TempDir(), "document")); err != nil {
		fmt.Fprintf(std.err, "pdfmill: files are opened as root: %v (let TMPDIR name a folder that everybody may enter)\n", err)
		c.user = nil // it could not open the copy
	}
	how := sandbox.Config{Command: []string{self, "probe"}, CacheDir: sandbox.CacheDir(cache), Probes: c.Parallel, User: c.user}
	i, err := validator.NewInspector(how, c.Limits, c.Policies, secret.NewStore(c.Secrets))
	if err != nil {
		return nil, usage(err, "")
	}
	return i, nil
}

// one checks a file. The error is about this machine: a file that can't be read is a refusal.
func (c *checkCommand) one(ctx context.Context, inspector *validator.Inspector, in batch.Input, stdin io.Reader) (validator.Report, error) {
	if in.Err != nil {
		return validator.Unreadable(in.Path, in.Err), nil //nolint:nilerr // it is in the report
	}
	path, err := filepath.Abs(in.File)
	if err != nil {
		return validator.Report{}, err
	}
	if !in.Stream {
		if file, err := os.Open(path); err != nil {
			return validator.Unreadable(in.Path, fmt.Errorf("it can't be read: %w (allow reading it, or leave it out)", batch.Cause(err))), nil
		} else if err := file.Close(); err != nil {
			return validator.Report{}, err
		}
	}
	if in.Stream || c.user != nil { // whom it is opened as gets a copy: a file of somebody's stays as it is
		var remove func()
		if path, remove, err = c.spool(ctx, in, stdin); err != nil {
			return validator.Report{}, err
		}
		defer remove()
	}
	r, err := inspector.Check(ctx, validator.Request{Path: path, PasswordRef: c.PasswordRef}, c.MaxRangePages)
	r.Input = in.Path
	return r, err
}

// spool copies what can be read only once to a temporary file, as far as the limit of bytes and one more, and says how to remove it.
func (c *checkCommand) spool(ctx context.Context, in batch.Input, stdin io.Reader) (path string, remove func(), err error) {
	file, err := os.CreateTemp("", "pdfmill-check-")
	if err != nil {
		return "", nil, fmt.Errorf("make scratch file: %w", err)
	}
	remove = func() { _ = os.Remove(file.Name()) } // what is left is in the system's temporary folder
	done := make(chan error, 1)
	go func() { // a pipe that nobody writes into never ends: who is interrupted leaves it behind, and the process with it
		from := stdin
		if in.Path != batch.Stdin {
			pipe, err := os.Open(in.File)
			if err != nil {
				done <- err
				return
			}
			defer pipe.Close()
			from = pipe
		}
		_, err := io.Copy(file, io.LimitReader(from, c.Limits.MaxBytes+1))
		done <- errors.Join(err, file.Close())
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		remove()
		return "", nil, fmt.Errorf("read %s: %w", in.Path, err)
	}
	return file.Name(), remove, nil
}

func show(w io.Writer, asJSON bool, r validator.Report) error {
	if asJSON {
		return printJSON(w, r)
	}
	return printVerdict(w, r)
}

func printVerdict(w io.Writer, r validator.Report) error {
	if r.Verdict != validator.VerdictOK {
		_, err := fmt.Fprintf(w, "refused  %s  %s: %s\n", r.Input, r.Class, r.Message)
		return err
	}
	f := r.Facts
	var notes []string
	if f.Version != "" {
		notes = append(notes, "PDF "+f.Version)
	}
	for _, note := range []struct {
		holds bool
		text  string
	}{
		{f.Repair != nil, "repaired"},
		{len(f.Failed) > 0, batch.Plural(len(f.Failed), "page") + " can't go on"},
		{f.Password, "opened with a password"},
		{f.Security > 0 && !f.Password, "encrypted with an empty password"},
		{f.NoExtract, "its author forbids taking text out of it"},
		{f.TextPages == 0 && f.Images > 0 && f.Partial == "", "no text, only images"},
		{f.Form != "", "form"},
		{f.Attachments > 0, batch.Plural(f.Attachments, "attachment")},
		{f.Scripts > 0, "JavaScript"},
		{f.Signatures > 0, "signed"},
		{f.Partial != "", "facts are partial"},
	} {
		if note.holds {
			notes = append(notes, note.text)
		}
	}
	notes = append(notes, batch.Plural(len(r.Plan), "range"))
	if _, err := fmt.Fprintf(w, "ok       %s  %s (%s)\n", r.Input, batch.Plural(r.Pages, "page"), strings.Join(notes, ", ")); err != nil {
		return err
	}
	const shown = 5
	for i, p := range f.Failed {
		if i == shown {
			_, err := fmt.Fprintf(w, "         … and %s\n", batch.Plural(len(f.Failed)-shown, "more page"))
			return err
		}
		if _, err := fmt.Fprintf(w, "         page %d: %s: %s\n", p.Page, p.Class, p.Message); err != nil {
			return err
		}
	}
	return nil
}
