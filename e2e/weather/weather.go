// Package weather is what a process finds wherever it runs: the time of day, and a disk. Programs under test are built with a standard library in which both can
// be made bad while they run: by an overlay of the compiler's, so that every package in them lives with it, theirs and their dependencies'.
package weather

import (
	"context"
	_ "embed" // of what is added to the standard library
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Variable names the environment variable that tells a program which file has its weather.
const Variable = "PDFMILL_WEATHER"

//go:embed time_step.go.txt
var timeStep string

//go:embed os_weather.go.txt
var osWeather string

// A patch puts a line before a line of a file of the standard library, which must hold it once.
var patches = []struct{ file, before, line string }{
	{"time/time.go", "\tif mono == 0 {\n\t\treturn Time{uint64(nsec), sec + unixToInternal, Local}\n", "\tsec += Step.Load()\n"},
	{"os/file_posix.go", "\tif e := f.pfd.Fsync(); e != nil {\n", "\tf.drag()\n"},
	{"os/file_posix.go", "\tn, err = f.pfd.Write(b)\n", "\tf.drag()\n"},
	{"os/file_posix.go", "\tn, err = f.pfd.Pwrite(b, off)\n", "\tf.drag()\n"},
}

// Build builds programs that feel the weather into dir, as `go build` with args would.
func Build(dir string, args ...string) error {
	goroot, err := exec.CommandContext(context.Background(), "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	library, err := overlay(dir, strings.TrimSpace(string(goroot)))
	if err != nil {
		return fmt.Errorf("change the standard library: %w", err)
	}
	args = append([]string{"build", "-overlay", library, "-o", dir + "/"}, args...)
	if out, err := exec.CommandContext(context.Background(), "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs under test: %w\n%s", err, out)
	}
	return nil
}

// overlay writes the changed standard library into dir and returns the file that -overlay takes.
func overlay(dir, goroot string) (string, error) {
	source := func(name string) string { return filepath.Join(goroot, "src", filepath.FromSlash(name)) }
	files := map[string]string{"time/step.go": timeStep, "os/weather.go": osWeather}
	for _, p := range patches {
		if _, read := files[p.file]; !read {
			data, err := os.ReadFile(source(p.file))
			if err != nil {
				return "", err
			}
			files[p.file] = string(data)
		}
		if n := strings.Count(files[p.file], p.before); n != 1 {
			return "", fmt.Errorf("%s of %s holds %q %d times: adapt the patch", p.file, runtime.Version(), p.before, n)
		}
		files[p.file] = strings.Replace(files[p.file], p.before, p.line+p.before, 1)
	}
	replace := map[string]string{}
	for name, text := range files {
		path := filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[source(name)] = path
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}

// Set makes the weather in a file: by how much the clock is wrong, in whole seconds, and how long each write and each sync of the disk takes longer. Zero is fair.
func Set(file string, step, drag time.Duration) error {
	text := fmt.Sprintf("%d %d", int64(step/time.Second), drag.Milliseconds())
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
