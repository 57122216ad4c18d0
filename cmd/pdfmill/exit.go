package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK       = 0 // everything that was asked for was done
	exitSome     = 1 // some documents failed, or a check did
	exitUsage    = 2 // the command line is wrong
	exitPipeline = 3 // the pipeline itself failed, or can't be reached
)

// exit is an error with an exit code. An Err of nil means that everything was said already.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e exit) Unwrap() error { return e.err }

// usage is a fault of the command line, with what to do about it ("" when the fault says it).
func usage(err error, hint string) error {
	if hint != "" {
		err = fmt.Errorf("%w (%s)", err, hint)
	}
	return exit{exitUsage, err}
}

// some says that not everything came out well, and that this was told already.
func some() error { return exit{code: exitSome} }

// code prints what went wrong and returns the exit code for it.
func code(err error, w io.Writer) int {
	if err == nil {
		return exitOK
	}
	e := exit{exitPipeline, err}
	errors.As(err, &e)
	if e.err != nil && !errors.Is(e.err, context.Canceled) {
		fmt.Fprintln(w, "pdfmill:", e.err)
	}
	return e.code
}

func asParse(err error, target **kong.ParseError) bool { return errors.As(err, target) }
