// Package e2e proves, on built binaries and with stock clients only, that every PDF ends where the manifest of the corpus says.
package e2e

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Document is one line of a corpus' manifest.csv.
type Document struct {
	Path  string
	Name  string
	Pages int    // as the manifest has it; 0 when it does not know
	Class string // ok, long, scanned, exotic, corrupt, not-pdf, zero-byte, encrypted-…
}

// Corpus reads the corpus that $PDFMILL_CORPUS names, or the small one that ships.
func Corpus() (dir string, documents []Document, err error) {
	if dir = os.Getenv("PDFMILL_CORPUS"); dir == "" {
		dir = filepath.Join("testdata", "corpus")
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", nil, err
	}
	file, err := os.Open(filepath.Join(dir, "manifest.csv"))
	if err != nil {
		return "", nil, fmt.Errorf("corpus: %w (PDFMILL_CORPUS must name a folder with a manifest.csv)", err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil || len(rows) < 2 {
		return "", nil, fmt.Errorf("corpus manifest of %s: %d rows, %w", dir, len(rows), err)
	}
	name, class, pages := slices.Index(rows[0], "file"), slices.Index(rows[0], "class"), slices.Index(rows[0], "pages")
	if name < 0 || class < 0 || pages < 0 {
		return "", nil, fmt.Errorf("corpus manifest of %s has no columns file, class and pages", dir)
	}
	for _, row := range rows[1:] {
		d := Document{Path: filepath.Join(dir, row[name]), Name: row[name], Class: row[class]}
		if row[pages] != "" {
			if d.Pages, err = strconv.Atoi(row[pages]); err != nil {
				return "", nil, fmt.Errorf("corpus manifest of %s: pages of %s: %w", dir, d.Name, err)
			}
		}
		documents = append(documents, d)
	}
	return dir, documents, nil
}

// Allowed returns the outcomes that a class of documents may have: "converted", or error classes.
func Allowed(class string) []string {
	switch class {
	case "ok", "long", "scanned", "encrypted-empty-password":
		return []string{"converted"}
	case "encrypted-user-password":
		return []string{"pdf-encrypted"}
	case "corrupt":
		return []string{"pdf-corrupt", "not-pdf", "pdf-empty"}
	case "not-pdf":
		return []string{"not-pdf"}
	case "zero-byte":
		return []string{"pdf-empty", "not-pdf"}
	case "exotic":
		// Convert, or name the bound that broke.
		return []string{"converted", "limit-bytes", "limit-pages", "limit-page-size", "limit-pixels", "limit-objects", "limit-content", "limit-chars", "limit-nesting", "limit-time", "limit-page-time", "limit-memory", "timeout", "pdf-corrupt", "pdf-empty", "host-oom", "crash", "oom"}
	}
	return nil
}
