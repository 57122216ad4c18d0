package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"

	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
)

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(g *globals, std streams) error {
	v := map[string]string{"version": lifecycle.Version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH}
	if g.JSON {
		return printJSON(std.out, v)
	}
	_, err := fmt.Fprintf(std.out, "pdfmill %s (%s, %s/%s)\n", v["version"], v["go"], v["os"], v["arch"])
	return err
}

// printJSON writes v for programs: one value, one line.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
