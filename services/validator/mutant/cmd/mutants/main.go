// Command mutants writes damaged copies of PDFs: mutants OUT COUNT FILE…
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pdfmill/pdfmill/services/validator/mutant"
)

func main() {
	if err := write(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func write(args []string) error {
	if len(args) < 3 {
		return fmt.Errorf("usage: mutants OUT COUNT FILE…")
	}
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("count: %w", err)
	}
	files := args[2:]
	for i := range count {
		from := files[i%len(files)]
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%04d-%s", i, strings.TrimSuffix(filepath.Base(from), ".pdf")+".pdf")
		if err := os.WriteFile(filepath.Join(args[0], name), mutant.Of(content, uint64(i)), 0o600); err != nil {
			return err
		}
	}
	return nil
}
