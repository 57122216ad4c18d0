package batch

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/layout"
)

const (
	markdownSuffix = ".md"
	imagesSuffix   = "_images"
	debugSuffix    = "_debug"
)

// Names gives each input the stem of its output files: its base name, with a number when another input has the same. Stems in taken belong to
// inputs of earlier runs (by Input.File) and stay theirs. Stems that differ only in case count as the same, for file systems that think so.
func Names(inputs []Input, taken map[string]string) []string {
	names := make([]string, len(inputs))
	used := map[string]bool{}
	for _, stem := range taken {
		used[strings.ToLower(stem)] = true
	}
	assign := func(i int, stem string) bool {
		if key := strings.ToLower(stem); !used[key] {
			used[key], names[i] = true, stem
			return true
		}
		return false
	}
	for i, in := range inputs {
		if stem, ok := taken[in.identity()]; ok {
			names[i] = stem
		}
	}
	// Plain stems first, so that a number never takes the name of a file that has it by itself.
	for i, in := range inputs {
		if names[i] == "" {
			assign(i, stem(in.Path))
		}
	}
	for i, in := range inputs {
		for n := 2; names[i] == ""; n++ {
			assign(i, fmt.Sprintf("%s-%d", stem(in.Path), n))
		}
	}
	return names
}

// identity is what an input is recognised by in a later run.
func (in Input) identity() string {
	if in.File == "" {
		return in.Path
	}
	return in.File
}

// stem is the base name without .pdf, fit to be part of a file name.
func stem(path string) string {
	if path == Stdin {
		return "stdin"
	}
	return layout.Stem(filepath.ToSlash(path))
}
