package pyenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// oldest Python that the runner works with, as major and minor.
const oldestMajor, oldestMinor = 3, 10

// build makes the environment in its final place, since the scripts in it hold their own paths; what was there before is moved away first, and the stamp
// comes last, so that a build that was cut off is seen as such.
func (b *build) build(ctx context.Context) error {
	base, err := b.interpreter(ctx)
	if err != nil {
		return err
	}
	if err := b.clear(); err != nil {
		return b.failed("clear the place", err, "")
	}
	b.say(StepCreating, b.dir)
	install, err := b.create(ctx, base)
	if err != nil {
		return err
	}
	src := filepath.Join(b.dir, "src")
	if err := os.CopyFS(src, b.Sources); err != nil {
		return b.failed("write sources", err, "")
	}
	locks, err := b.locks(src)
	if err != nil {
		return err
	}
	for _, lock := range locks {
		b.say(StepInstalling, filepath.Base(lock))
		if err := b.install(ctx, install, lock); err != nil {
			return err
		}
	}
	b.say(StepInstalling, "pdfmill_runner")
	if err := b.link(ctx, src); err != nil {
		return err
	}
	b.say(StepVerifying, "asking the runner for its engines")
	engines, err := b.verify(ctx)
	if err != nil {
		return err
	}
	return b.complete(stamp{Hash: b.hash, Python: b.Config.Python, Engines: engines, BuiltAt: time.Now().UTC()})
}

// interpreter finds the Python to build from and asks for its version.
func (b *build) interpreter(ctx context.Context) (string, error) {
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

// clear moves away what lies in the environment's place: a worker may still run from there, and keeps what it has open. It takes along what an
// earlier clear didn't get to remove.
func (b *build) clear() error {
	old := filepath.Join(b.Dir, ".old-"+filepath.Base(b.dir))
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	if err := os.Rename(b.dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(old)
}

// create makes an empty environment, with uv when it is there (faster, and it needs no venv package of the system), and returns the
// command that installs into it. The environment's own pip is put in when there is something to install: that takes longer than all the rest.
func (b *build) create(ctx context.Context, base string) (install []string, err error) {
	if uv, lookErr := exec.LookPath("uv"); lookErr == nil {
		if uv, err = filepath.Abs(uv); err != nil {
			return nil, b.failed("find uv", err, "")
		}
		if output, err := b.run(ctx, StepCreating, uv, "venv", "--quiet", "--python", base, b.dir); err != nil {
			return nil, b.failed("create", err, output)
		}
		return []string{uv, "pip", "install", "--python", b.python}, nil
	}
	if output, err := b.run(ctx, StepCreating, base, "-m", "venv", "--without-pip", b.dir); err != nil {
		return nil, b.failed("create", err, output)
	}
	return []string{b.python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"}, nil
}

// install installs what a requirement file lists.
func (b *build) install(ctx context.Context, command []string, lock string) error {
	text, err := os.ReadFile(lock)
	if err != nil {
		return b.failed("read requirements", err, "")
	}
	if !requirement.Match(text) {
		return nil
	}
	if command[0] == b.python {
		if output, err := b.run(ctx, StepInstalling, b.python, "-m", "ensurepip"); err != nil {
			return b.failed("install pip", err, output)
		}
	}
	if output, err := b.run(ctx, StepInstalling, append(command, "--require-hashes", "-r", lock)...); err != nil {
		return b.failed("install packages", err, output)
	}
	return nil
}

// requirement is in every requirement file that lists any.
var requirement = regexp.MustCompile(`(?m)^\s*[^#\s]`)

// locks lists the requirement files to install, in order: the runner's own, then one for each extra.
func (b *build) locks(src string) ([]string, error) {
	files := []string{filepath.Join(src, "requirements.lock")}
	for _, extra := range b.Extras {
		files = append(files, filepath.Join(src, "requirements-"+extra+".lock"))
	}
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			return nil, b.failed("find requirements", err, "")
		}
	}
	return files, nil
}

// link makes the runner itself importable by a .pth file, which needs no build tool.
func (b *build) link(ctx context.Context, src string) error {
	output, err := b.run(ctx, "", b.python, "-c", `import sysconfig; print("purelib", sysconfig.get_path("purelib"))`)
	if err != nil {
		return b.failed("ask for the place of packages", err, output)
	}
	_, site, _ := strings.Cut(strings.TrimSpace(output), "purelib ")
	if err := os.WriteFile(filepath.Join(site, "pdfmill_runner.pth"), []byte(filepath.Join(src, "src")+"\n"), 0o600); err != nil {
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

func (b *build) complete(s stamp) error {
	raw, err := json.Marshal(s)
	if err == nil {
		partial := filepath.Join(b.dir, stampName+".partial")
		if err = os.WriteFile(partial, raw, 0o600); err == nil {
			err = os.Rename(partial, filepath.Join(b.dir, stampName))
		}
	}
	if err != nil {
		return b.failed("stamp", err, "")
	}
	return nil
}
