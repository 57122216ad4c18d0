package faults

import (
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Weather is what a process finds wherever it runs: the time of day, and a disk. The programs under test are built with a standard library in which both can be
// made bad while they run: by an overlay of the compiler's, so that every package in them lives with it, theirs and their dependencies'.

//go:embed testdata/weather
var changed embed.FS

// A patch puts a line before a line of a file of the standard library, which must hold it once.
var patches = []struct{ file, before, line string }{
	{"time/time.go", "\tif mono == 0 {\n\t\treturn Time{uint64(nsec), sec + unixToInternal, Local}\n", "\tsec += Step.Load()\n"},
	{"os/file_posix.go", "\tif e := f.pfd.Fsync(); e != nil {\n", "\tf.drag()\n"},
	{"os/file_posix.go", "\tn, err = f.pfd.Write(b)\n", "\tf.drag()\n"},
	{"os/file_posix.go", "\tn, err = f.pfd.Pwrite(b, off)\n", "\tf.drag()\n"},
}

// overlay writes the changed standard library into dir and returns the file that -overlay takes.
func overlay(dir, goroot string) (string, error) {
	source := func(name string) string { return filepath.Join(goroot, "src", filepath.FromSlash(name)) }
	files := map[string]string{}
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
	for name, file := range map[string]string{"time/step.go": "time_step.go.txt", "os/weather.go": "os_weather.go.txt"} {
		data, err := changed.ReadFile("testdata/weather/" + file)
		if err != nil {
			return "", err
		}
		files[name] = string(data)
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

// weather makes the time of day and the disk of one kind of process bad: of a service, "nats" or "s3". Zero is fair.
func (c *cluster) weather(kind string, step, drag time.Duration) {
	c.t.Helper()
	path := c.weatherFile(kind)
	text := fmt.Sprintf("%d %d", int64(step/time.Second), drag.Milliseconds())
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) weatherFile(kind string) string { return filepath.Join(c.dir, "weather-"+kind) }
