package pyenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// oldest Python that the runner works with, as major and minor.
const oldestMajor, oldestMinor = 3, 10

// build makes the environment in its final place, since the scripts in it hold their own paths: an empty one, that imports the runner's sources and the
// packages it needs from where they lie. The stamp comes last, so that a build that was cut off is seen as such.
func (b *build) build(ctx context.Context) error {
	packages, err := b.packages()
	if err != nil {
		return err
	}
	installed, err := packages.ensure(ctx)
	if err != nil {
		return err
	}
	if err := clearPlace(b.Dir, b.dir); err != nil {
		return b.failed("clear the place", err, "")
	}
	// By the packages' own interpreter: python3 may be another one by now, which could not load them.
	if output, err := b.run(ctx, StepCreating, packages.python(), "-m", "venv", "--without-pip", b.dir); err != nil {
		return b.failed("create", err, output)
	}
	src := filepath.Join(b.dir, "src")
	if err := os.CopyFS(src, b.Sources); err != nil {
		return b.failed("write sources", err, "")
	}
	// Workers may not write here: what has no bytecode by now each of them would compile at each start. With marker that took longer than all the rest of it.
	if output, err := b.run(ctx, "", packages.python(), "-m", "compileall", "-q", src); err != nil {
		return b.failed("compile the runner", err, output)
	}
	if err := b.link(ctx, filepath.Join(src, "src"), installed); err != nil {
		return err
	}
	b.say(StepVerifying, "asking the runner for its engines")
	engines, err := b.verify(ctx)
	if err != nil {
		return err
	}
	program, err := filepath.EvalSymlinks(b.python)
	if err != nil {
		return b.failed("find the interpreter", err, "")
	}
	done := stamp{Hash: b.hash, Python: b.Config.Python, Interpreter: program, Engines: engines, BuiltAt: time.Now().UTC()}
	if err := writeStamp(filepath.Join(b.dir, stampName), done); err != nil {
		return b.failed("stamp", err, "")
	}
	return nil
}

// find finds the Python to build from.
func (b *build) find() (string, error) {
	name := b.Config.Python
	if name == "" {
		name = "python3"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", failure.New(failure.EngineMissing, "find Python", name, err).
			WithHint(fmt.Sprintf("install Python %d.%d or later, or name an interpreter in the configuration", oldestMajor, oldestMinor))
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", b.failed("find Python", err, "")
	}
	return path, nil
}

// interpreter finds the Python to build from and asks for its version.
func (b *build) interpreter(ctx context.Context) (string, error) {
	path, err := b.find()
	if err != nil {
		return "", err
	}
	output, err := b.run(ctx, "", path, "-c", `import sys; print("version", *sys.version_info[:2])`)
	if err != nil {
		return "", b.failed("run "+path, err, output)
	}
	var major, minor int
	_, version, _ := strings.Cut(output, "version ")
	if _, err := fmt.Sscanf(version, "%d %d", &major, &minor); err != nil {
		return "", b.failed("ask the version of "+path, err, output)
	}
	if major < oldestMajor || (major == oldestMajor && minor < oldestMinor) {
		return "", failure.Newf(failure.EngineMissing, "use Python", path, "it is version %d.%d", major, minor).
			WithHint(fmt.Sprintf("install Python %d.%d or later, or name such an interpreter in the configuration", oldestMajor, oldestMinor))
	}
	return path, nil
}

// link makes the runner and its packages importable by a .pth file, which needs no build tool.
func (b *build) link(ctx context.Context, folders ...string) error {
	site, err := b.purelib(ctx, b.python)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(site, "pdfmill_runner.pth"), []byte(strings.Join(folders, "\n")+"\n"), 0o644); err != nil {
		return b.failed("install the runner", err, "")
	}
	return nil
}

// verify asks the runner itself.
func (b *build) verify(ctx context.Context) ([]Engine, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	output, err := b.run(ctx, "", b.python, "-m", "pdfmill_runner", "--list-engines")
	if err != nil {
		return nil, b.failed("verify the runner", err, output)
	}
	engines, err := parseEngines(output)
	if err == nil && !slices.ContainsFunc(engines, func(e Engine) bool { return e.Available }) {
		err = errors.New("no engine of the runner can run here")
	}
	if err != nil {
		return nil, b.failed("verify the runner", err, output)
	}
	return engines, nil
}

// parseEngines reads what `pdfmill_runner --list-engines` prints.
func parseEngines(output string) ([]Engine, error) {
	var list struct {
		Engines []Engine `json:"engines"`
	}
	if err := json.Unmarshal([]byte(output), &list); err != nil {
		return nil, fmt.Errorf("read the runner's list of engines: %w", err)
	}
	return list.Engines, nil
}
