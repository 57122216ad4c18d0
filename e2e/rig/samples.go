package rig

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Samples are small real PDFs, for tests one folder below e2e.
func Samples(t testing.TB) [][]byte {
	t.Helper()
	paths, err := filepath.Glob("../../samples/*.pdf")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	var all [][]byte
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, content)
	}
	return all
}

// Document is the nth PDF made of the samples, which nobody has seen before.
func Document(all [][]byte, n int) []byte {
	return append(bytes.Clone(all[n%len(all)]), fmt.Appendf(nil, "\n%% copy %d\n", n)...)
}
