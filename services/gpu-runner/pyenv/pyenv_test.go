package pyenv

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gofrs/flock"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// runner is a runner's sources that need no package and no network.
func runner(main string) fstest.MapFS {
	return fstest.MapFS{
		"requirements.lock":                  {Data: []byte("# nothing\n")},
		"src/pdfmill_runner/__init__.py":     {Data: []byte("")},
		"src/pdfmill_runner/__main__.py":     {Data: []byte(main)},
		"requirements-unobtainable.lock":     {Data: []byte("pdfmill-does-not-exist==1 --hash=sha256:" + strings.Repeat("0", 64) + "\n")},
		"src/pdfmill_runner/engines/text.py": {Data: []byte("")},
	}
}

const listEngines = `import sys
assert sys.argv[1:] == ['--list-engines'], sys.argv
print('{"engines": [{"name": "null", "available": true}, {"name": "text", "available": false, "reason": "no liteparse"}]}')
`

// steps records what a caller sees.
type steps struct {
	mu   sync.Mutex
	seen []string
}

func (s *steps) progress(step, _ string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) == 0 || s.seen[len(s.seen)-1] != step {
		s.seen = append(s.seen, step)
	}
}

func TestEnsureBuildsOnceThenReuses(t *testing.T) {
	var seen steps
	c := Config{Dir: filepath.Join(t.TempDir(), "new", "cache"), Sources: runner(listEngines), Hash: "one", Progress: seen.progress}
	env, err := Ensure(t.Context(), c)
	if err != nil {
		t.Fatalf("%v\n%s", err, failure.DetailOf(err))
	}
	if want := []string{StepCreating, StepInstalling, StepVerifying}; !slices.Equal(seen.seen, want) {
		t.Errorf("steps %v, want %v", seen.seen, want)
	}
	if out, err := exec.Command(env.Python, "-m", "pdfmill_runner", "--list-engines").Output(); err != nil || !strings.Contains(string(out), "liteparse") {
		t.Errorf("the environment: %q, %v", out, err)
	}
	seen.seen = nil
	t.Setenv("PATH", "") // whatever the fast path runs can't be found
	again, err := Ensure(t.Context(), c)
	if err != nil || !reflect.DeepEqual(again, env) || len(seen.seen) > 0 {
		t.Errorf("again: %+v, %v, steps %v", again, err, seen.seen)
	}
}

func TestEnsureBuildsWhatIsBrokenAnew(t *testing.T) {
	c := Config{Dir: t.TempDir(), Sources: runner(listEngines), Hash: "one"}
	env, err := Ensure(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(filepath.Dir(env.Python))
	stampFile := filepath.Join(dir, stampName)
	for name, damage := range map[string]func(){
		"stamp missing":       func() { remove(t, stampFile) },
		"stamp cut off":       func() { write(t, stampFile, `{"hash":`) },
		"interpreter missing": func() { remove(t, env.Python) },
		"base Python gone":    func() { remove(t, env.Python); link(t, "/nonexistent/python3", env.Python) },
		"suspected":           func() { c.Suspect = time.Now() },
	} {
		mark := filepath.Join(dir, "mark")
		write(t, mark, "")
		damage()
		got, err := Ensure(t.Context(), c)
		if err != nil || !reflect.DeepEqual(got, env) {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: it wasn't built anew (%v)", name, err)
		}
	}
	mark := filepath.Join(dir, "mark")
	write(t, mark, "")
	if _, err := Ensure(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Errorf("what was built since it was suspected is built again, which can't help: %v", err)
	}
}

func TestDifferentContentsLiveSideBySide(t *testing.T) {
	c := Config{Dir: t.TempDir(), Sources: runner(listEngines), Hash: "one"}
	one, err := Ensure(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	c.Hash = "two"
	two, err := Ensure(t.Context(), c)
	if err != nil || two.Python == one.Python || two.Hash == one.Hash {
		t.Errorf("%+v, %+v, %v", one, two, err)
	}
	if _, err := os.Stat(one.Python); err != nil {
		t.Error(err)
	}
}

// Packages are large; a new version of the runner that wants the same ones must not fetch them again.
func TestVersionsShareTheirPackages(t *testing.T) {
	c := Config{Dir: t.TempDir(), Sources: runner(listEngines), Hash: "one"}
	if _, err := Ensure(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	var seen steps
	c.Hash, c.Progress = "two", seen.progress
	if _, err := Ensure(t.Context(), c); err != nil || slices.Contains(seen.seen, StepInstalling) {
		t.Errorf("steps %v, %v", seen.seen, err)
	}
	other := runner(listEngines)
	other["requirements.lock"] = &fstest.MapFile{Data: []byte("# something else\n")}
	c.Hash, c.Sources = "three", other
	if _, err := Ensure(t.Context(), c); err != nil || !slices.Contains(seen.seen, StepInstalling) {
		t.Errorf("other packages: steps %v, %v", seen.seen, err)
	}
}

func TestInstalledBuildsNothing(t *testing.T) {
	c := Config{Dir: t.TempDir(), Sources: runner(listEngines), Hash: "one"}
	if Installed(c) {
		t.Fatal("something is installed in an empty folder")
	}
	if _, err := Ensure(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	c.Hash = "a later version that wants the same packages"
	if !Installed(c) {
		t.Error("nothing is installed after it was")
	}
	if c.Extra = "unobtainable"; Installed(c) {
		t.Error("an extra is installed that isn't")
	}
}

// python3 may become another version: what was installed before goes on working with what it was installed with, as long as that is there.
func TestAnotherPythonOnPathChangesNothing(t *testing.T) {
	real, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal(err)
	}
	if real, err = filepath.EvalSymlinks(real); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	link(t, real, filepath.Join(bin, "python3.99"))
	link(t, filepath.Join(bin, "python3.99"), filepath.Join(bin, "python3"))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	c := Config{Dir: t.TempDir(), Sources: runner(listEngines), Hash: "one"}
	if _, err := Ensure(t.Context(), c); err != nil {
		t.Fatalf("%v\n%s", err, failure.DetailOf(err))
	}
	t.Setenv("PATH", filepath.Dir(script(t, "exit 3"))+":"+os.Getenv("PATH")) // the python3 there is now can't do anything
	var seen steps
	for _, hash := range []string{"one", "two"} {
		c.Hash, c.Progress = hash, seen.progress
		if why := Missing(c); why != "" {
			t.Errorf("%s: %s", hash, why)
		}
		if _, err := Ensure(t.Context(), c); err != nil {
			t.Errorf("%s: %v\n%s", hash, err, failure.DetailOf(err))
		}
	}
	if slices.Contains(seen.seen, StepInstalling) {
		t.Errorf("steps %v", seen.seen)
	}
}

func TestItSaysWhatHasBecomeOfTheInterpreter(t *testing.T) {
	c := Config{Dir: t.TempDir(), Sources: runner(listEngines), Hash: "one"}
	if why := Missing(c); !strings.Contains(why, "not installed in "+c.Dir) {
		t.Error(why)
	}
	if _, err := Ensure(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(c.Dir, "packages-*", "bin", "python"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	was, err := filepath.EvalSymlinks(found[0])
	if err != nil {
		t.Fatal(err)
	}
	remove(t, found[0])
	link(t, "/bin/true", found[0]) // as when the system has put another version in its place
	if why := Missing(c); !strings.Contains(why, was) || !strings.Contains(why, "in the place of which there is") {
		t.Error(why)
	}
	remove(t, found[0])
	if why := Missing(c); !strings.Contains(why, was+", which is gone") {
		t.Error(why)
	}
	c.Hash = "two"
	if _, err := Ensure(t.Context(), c); err != nil || Missing(c) != "" {
		t.Errorf("it wasn't mended: %v", err)
	}
}

func TestConcurrentEnsureBuildsOnce(t *testing.T) {
	counter := filepath.Join(t.TempDir(), "builds")
	main := fmt.Sprintf("open(%q, 'a').write('.')\n", counter) + listEngines
	var seen steps
	c := Config{Dir: t.TempDir(), Sources: runner(main), Hash: "one", Progress: seen.progress}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := Ensure(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if raw, err := os.ReadFile(counter); err != nil || len(raw) != 1 {
		t.Errorf("verified %d times, %v", len(raw), err)
	}
	if want := []string{StepCreating, StepInstalling, StepVerifying}; !slices.Equal(seen.seen, want) {
		t.Errorf("steps %v, want %v: no other process is there to wait for", seen.seen, want)
	}
}

func TestAnotherProcessIsWaitedFor(t *testing.T) {
	waits := make(chan struct{})
	c := Config{Dir: t.TempDir(), Sources: runner(listEngines), Hash: "one"}
	other := flock.New(newBuild(c.withDefaults()).dir + ".lock") // as one would hold it
	if got, err := other.TryLock(); !got || err != nil {
		t.Fatal(got, err)
	}
	c.Progress = func(step, detail string) {
		if step == StepWaiting {
			close(waits)
		}
	}
	ended := make(chan error, 1)
	go func() {
		_, err := Ensure(t.Context(), c)
		ended <- err
	}()
	<-waits
	if err := other.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestEnsureFailures(t *testing.T) {
	oldPython := script(t, "echo version 3 8")
	noVenv := script(t, `case "$1" in -c) echo version 3 12;; *) echo "ensurepip is not available" >&2; exit 1;; esac`)
	full := script(t, `case "$1" in -c) echo version 3 12;; *) echo "OSError: [Errno 28] No space left on device" >&2; exit 1;; esac`)
	for name, c := range map[string]struct {
		config Config
		says   string
		detail string
	}{
		"no Python":   {Config{Python: "/nonexistent/python3"}, "install Python 3.10", ""},
		"too old":     {Config{Python: oldPython}, "it is version 3.8", ""},
		"no venv":     {Config{Python: noVenv}, "python3-venv", "ensurepip"},
		"disk full":   {Config{Python: full}, "make room", "No space left"},
		"no runner":   {Config{Sources: runner("raise SystemExit('out of order')")}, "verify", "out of order"},
		"no list":     {Config{Sources: runner("")}, "read the runner's list of engines", ""},
		"no engines":  {Config{Sources: runner(`print('{"engines": []}')`)}, "no engine of the runner can run", ""},
		"no extra":    {Config{Extra: "imaginary"}, "requirements-imaginary.lock", ""},
		"no network":  {Config{Extra: "unobtainable"}, "can't be reached", "pdfmill-does-not-exist"},
		"not a place": {Config{Dir: "/proc/nowhere"}, "create folder", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "no network" {
				t.Setenv("PIP_INDEX_URL", "http://somebody:secret@127.0.0.1:9/simple")
				t.Setenv("PIP_FIND_LINKS", "")
				t.Setenv("PIP_RETRIES", "1") // what can't be reached is told with a retry
				t.Setenv("UV_INDEX_URL", "http://somebody:secret@127.0.0.1:9/simple")
				t.Setenv("UV_HTTP_RETRIES", "0")
			}
			if c.config.Dir == "" {
				c.config.Dir = t.TempDir()
			}
			if c.config.Sources == nil {
				c.config.Sources = runner(listEngines)
			}
			_, err := Ensure(t.Context(), c.config)
			if failure.ClassOf(err, "") != failure.EngineMissing || !strings.Contains(err.Error(), c.says) || !strings.Contains(failure.DetailOf(err), c.detail) {
				t.Fatalf("%v\n%s", err, failure.DetailOf(err))
			}
			if strings.Contains(err.Error()+failure.DetailOf(err), "secret") {
				t.Errorf("it tells a password: %v\n%s", err, failure.DetailOf(err))
			}
			if stamps, _ := filepath.Glob(filepath.Join(c.config.Dir, "*", stampName)); len(stamps) > 0 {
				t.Error("a failed build is stamped complete")
			}
		})
	}
}

// TestAPackageThatIsAnotherIsNotInstalled: an index that serves other bytes than the lock file says is found out, whatever it calls them.
func TestAPackageThatIsAnotherIsNotInstalled(t *testing.T) {
	index := t.TempDir()
	wheel, err := os.Create(filepath.Join(index, "pdfmill_imposter-1-py3-none-any.whl"))
	if err != nil {
		t.Fatal(err)
	}
	files := zip.NewWriter(wheel)
	for name, text := range map[string]string{
		"METADATA": "Metadata-Version: 2.1\nName: pdfmill-imposter\nVersion: 1\n", "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n", "RECORD": "",
	} {
		file, err := files.Create("pdfmill_imposter-1.dist-info/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(files.Close(), wheel.Close()); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PIP_NO_INDEX", "1")
	t.Setenv("PIP_FIND_LINKS", index)
	t.Setenv("UV_NO_INDEX", "1")
	t.Setenv("UV_FIND_LINKS", index)
	sources := runner(listEngines)
	sources["requirements.lock"] = &fstest.MapFile{Data: []byte("pdfmill-imposter==1 --hash=sha256:" + strings.Repeat("0", 64) + "\n")}
	_, err = Ensure(t.Context(), Config{Dir: t.TempDir(), Sources: sources})
	if failure.ClassOf(err, "") != failure.EngineMissing || !strings.Contains(err.Error(), "isn't the one this release was tested with") {
		t.Fatalf("%v\n%s", err, failure.DetailOf(err))
	}
}

func TestInstallerGetsNoSecrets(t *testing.T) {
	t.Setenv("NATS_PASSWORD", "secret")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
	env := strings.Join(Environment(), "\n")
	if strings.Contains(env, "secret") || !strings.Contains(env, "PIP_INDEX_URL=http://127.0.0.1:9/simple") || !strings.Contains(env, "PATH=") {
		t.Errorf("%s", env)
	}
}

// The end of ctx ends the installer and what it has started, and the next call starts over.
func TestCancelKillsTheInstaller(t *testing.T) {
	dir := t.TempDir()
	pids := filepath.Join(dir, "pids")
	python := script(t, `case "$1" in -c) echo version 3 12;; *) sleep 1000 & echo $! $$ > `+pids+`; wait;; esac`)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := Ensure(ctx, Config{Dir: dir, Python: python, Sources: runner(listEngines)})
		result <- err
	}()
	var running []string
	pipelinetest.Eventually(t, "the installer runs", func() bool {
		raw, _ := os.ReadFile(pids)
		running = strings.Fields(string(raw))
		return len(running) == 2
	})
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) || failure.ClassOf(err, "none") != "none" {
		t.Errorf("%v", err)
	}
	for _, pid := range running {
		pipelinetest.Eventually(t, "process "+pid+" is gone", func() bool { return !alive(pid) })
	}
	if _, err := Ensure(t.Context(), Config{Dir: dir, Sources: runner(listEngines)}); err != nil {
		t.Error(err)
	}
}

func alive(pid string) bool {
	raw, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(raw), ") Z ")
}

func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python3")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}
