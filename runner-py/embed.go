// Package runnerpy carries the sources of the Python runner inside the Go binaries, so that a service can set up the runner's
// environment on a machine that has nothing but Python.
package runnerpy

import (
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
)

// A pattern for each folder, and none for whole trees: what Python leaves beside its sources must not change the hash.
//
//go:embed pyproject.toml requirements*.lock README.md
//go:embed src/pdfmill_runner/*.py src/pdfmill_runner/py.typed
//go:embed src/pdfmill_runner/*/*.py
var sources embed.FS

// Sources returns the package as a pip-installable tree: pyproject.toml, the requirements, README.md and src. Read-only.
func Sources() fs.FS { return sources }

// Hash names the content of Sources: SHA-256 in hex over every path and every byte, the same on every machine.
func Hash() string {
	sum := sha256.New()
	err := fs.WalkDir(sources, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := sources.ReadFile(path)
		if err != nil {
			return err
		}
		for _, part := range [][]byte{[]byte(path), data} {
			_ = binary.Write(sum, binary.BigEndian, uint64(len(part))) // a hash doesn't fail to write
			sum.Write(part)
		}
		return nil
	})
	if err != nil { // the files are in the binary
		panic(fmt.Sprintf("read embedded runner sources: %v", err))
	}
	return hex.EncodeToString(sum.Sum(nil))
}
