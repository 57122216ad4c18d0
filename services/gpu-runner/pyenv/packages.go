package pyenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// packages is a folder of installed packages that belongs to a lock file, not to a version of the runner: another version that wants the same packages
// (gigabytes, for marker) finds them there.
type packages struct {
	*build
	lock string // the requirement file
	hash string
	dir  string
}

const packagesStamp = "pdfmill-packages.json"

// packages finds the folder: it belongs to a lock file and to what was asked for as interpreter, not to the one that this led to at the time.
func (b *build) packages() (*packages, error) {
	name := "requirements.lock"
	if b.Extra != "" {
		name = "requirements-" + b.Extra + ".lock"
	}
	lock, err := fs.ReadFile(b.Sources, name)
	if err != nil {
		return nil, b.failed("find requirements", err, "")
	}
	sum := sha256.Sum256(append([]byte(b.Config.Python+"\n"), lock...))
	hash := hex.EncodeToString(sum[:])
	return &packages{build: b, lock: name, hash: hash, dir: filepath.Join(b.Dir, "packages-"+hash[:12])}, nil
}

// ensure returns the folder to import from, after installing into it if need be.
func (p *packages) ensure(ctx context.Context) (string, error) {
	done, err := turn(ctx, p.dir, func() { p.say(StepWaiting, "another process installs the same packages") })
	if err != nil {
		return "", p.failed("lock", err, "")
	}
	defer done()
	if s, ok := p.read(); ok && !s.BuiltAt.Before(p.Suspect) {
		return p.site(ctx)
	}
	base, err := p.interpreter(ctx)
	if err != nil {
		return "", err
	}
	if err := clearPlace(p.Dir, p.dir); err != nil {
		return "", p.failed("clear the place", err, "")
	}
	p.say(StepCreating, p.dir)
	install, err := p.create(ctx, base)
	if err != nil {
		return "", err
	}
	requirements := filepath.Join(p.dir, p.lock)
	if err := copyFile(p.Sources, p.lock, requirements); err != nil {
		return "", p.failed("write requirements", err, "")
	}
	p.say(StepInstalling, p.lock)
	if err := p.install(ctx, install, requirements); err != nil {
		return "", err
	}
	program, err := filepath.EvalSymlinks(p.python())
	if err == nil {
		whole := stamp{Hash: p.hash, Python: p.Config.Python, Interpreter: program, BuiltAt: time.Now().UTC()}
		err = writeStamp(filepath.Join(p.dir, packagesStamp), whole)
	}
	if err != nil {
		return "", p.failed("stamp packages", err, "")
	}
	return p.site(ctx)
}

// create makes an empty environment, with uv when it is there (faster, and it needs no venv package of the system), and returns the
// command that installs into it. The environment's own pip is put in when there is something to install: that takes longer than all the rest.
func (p *packages) create(ctx context.Context, base string) (install []string, err error) {
	if uv, lookErr := exec.LookPath("uv"); lookErr == nil {
		if uv, err = filepath.Abs(uv); err != nil {
			return nil, p.failed("find uv", err, "")
		}
		if output, err := p.run(ctx, StepCreating, uv, "venv", "--quiet", "--python", base, p.dir); err != nil {
			return nil, p.failed("create", err, output)
		}
		install = []string{uv, "pip", "install", "--python", p.python(), "--compile-bytecode"} // as pip does unasked
		if !p.Suspect.IsZero() {
			install = append(install, "--refresh") // its cache has the same files, by hard links, with the same damage
		}
		return install, nil
	}
	if output, err := p.run(ctx, StepCreating, base, "-m", "venv", "--without-pip", p.dir); err != nil {
		return nil, p.failed("create", err, output)
	}
	return []string{p.python(), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"}, nil
}

// install installs what a requirement file lists.
func (p *packages) install(ctx context.Context, command []string, lock string) error {
	text, err := os.ReadFile(lock)
	if err != nil {
		return p.failed("read requirements", err, "")
	}
	if !requirement.Match(text) {
		return nil
	}
	if command[0] == p.python() {
		if output, err := p.run(ctx, StepInstalling, p.python(), "-m", "ensurepip"); err != nil {
			return p.failed("install pip", err, output)
		}
	}
	if output, err := p.run(ctx, StepInstalling, append(command, "--require-hashes", "-r", lock)...); err != nil {
		return p.failed("install packages", err, output)
	}
	return nil
}

// requirement is in every requirement file that lists any.
var requirement = regexp.MustCompile(`(?m)^\s*[^#\s]`)

func (p *packages) python() string { return filepath.Join(p.dir, "bin", "python") }

// read reports whether the folder is complete, and its interpreter still the one it was installed with.
func (p *packages) read() (stamp, bool) {
	s, _, err := p.stamped()
	return s, err == nil && s.Hash == p.hash && s.changed(p.python()) == ""
}

// stamped reads the stamp; raw is nil when there is none.
func (p *packages) stamped() (s stamp, raw []byte, err error) {
	if raw, err = os.ReadFile(filepath.Join(p.dir, packagesStamp)); err == nil {
		err = json.Unmarshal(raw, &s)
	}
	return s, raw, err
}

// site is where the packages lie.
func (p *packages) site(ctx context.Context) (string, error) { return p.purelib(ctx, p.python()) }

// purelib asks an interpreter where its packages lie.
func (b *build) purelib(ctx context.Context, python string) (string, error) {
	output, err := b.run(ctx, "", python, "-c", `import sysconfig; print("purelib", sysconfig.get_path("purelib"))`)
	if err != nil {
		return "", b.failed("ask for the place of packages", err, output)
	}
	_, site, _ := strings.Cut(strings.TrimSpace(output), "purelib ")
	return site, nil
}

// clearPlace moves away what lies in a place before it is built anew: a worker may still run from there, and keeps what it has open. It takes along what
// an earlier one didn't get to remove.
func clearPlace(parent, place string) error {
	old := filepath.Join(parent, ".old-"+filepath.Base(place))
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	if err := os.Rename(place, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(old)
}

func copyFile(from fs.FS, name, to string) error {
	data, err := fs.ReadFile(from, name)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// writeStamp says that what it lies in is complete.
func writeStamp(path string, s stamp) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".partial", raw, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".partial", path)
}
