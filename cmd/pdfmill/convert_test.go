package main

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/batch"
)

func TestCrewIsNoLargerThanTheWork(t *testing.T) {
	file := func(size int64) batch.Input {
		path := filepath.Join(t.TempDir(), "a.pdf")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		return batch.Input{File: path}
	}
	small, many := file(1000), make([]batch.Input, 1000)
	for i := range many {
		many[i] = small
	}
	for name, c := range map[string]struct {
		asked  int
		inputs []batch.Input
		want   int
	}{
		"one small document":       {0, []batch.Input{small}, 1 % runtime.NumCPU()},
		"many small documents":     {0, many, 0},
		"a large document":         {0, []batch.Input{file(manyPages)}, 0},
		"standard input":           {0, []batch.Input{{Path: batch.Stdin, Stream: true}}, 0},
		"as asked for":             {3, []batch.Input{small}, 3},
		"nothing that can be read": {0, []batch.Input{{File: "/missing.pdf"}}, 0},
	} {
		if got := (&convertCommand{Workers: c.asked}).crew(c.inputs); got != c.want {
			t.Errorf("%s: %d workers, want %d", name, got, c.want)
		}
	}
}
