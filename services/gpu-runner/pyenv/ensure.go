package pyenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	runnerpy "github.com/pdfmill/pdfmill/runner-py"
)

// The steps that Progress hears of, in their order.
const (
	StepWaiting    = "waiting"    // another process builds the same environment
	StepCreating   = "creating"   // an empty environment
	StepInstalling = "installing" // packages; detail is the installer's latest line
	StepVerifying  = "verifying"  // the runner is asked for its engines
)

// Config says what to build, and where. Only Dir is needed.
type Config struct {
	Dir    string // absolute; holds one folder for each version of the runner
	Python string // interpreter to build from; "" is python3 on PATH
	Extra  string // optional part of the runner, such as "marker"; an environment has one, as they exclude each other

	// Suspect is when somebody had reason to think the environment broken: what was built before is built anew. Zero: nobody had.
	Suspect time.Time

	Progress func(step, detail string) // may be nil
	Log      *slog.Logger              // nil: silent

	Sources fs.FS  // nil: the runner that is embedded in this binary
	Hash    string // of Sources
}

// Env is an environment that is ready.
type Env struct {
	Python  string   // absolute path of its interpreter
	Hash    string   // names what is in it
	Dir     string   // where it lies
	Engines []Engine // what the runner said it has, when it was built
}

// Engine is what a runner says of one of its engines.
type Engine struct {
	Name      string            `json:"name"`
	Available bool              `json:"available"`
	Reason    string            `json:"reason,omitempty"` // why it is not available
	Auto      bool              `json:"auto"`             // may be chosen for documents that name no engine
	Formats   []string          `json:"formats,omitempty"`
	Versions  map[string]string `json:"versions,omitempty"`
}

// stamp is written last: an environment with a matching stamp is whole.
type stamp struct {
	Hash        string    `json:"hash"`
	Python      string    `json:"python"`      // what it was asked to be built from; "" is python3 on PATH
	Interpreter string    `json:"interpreter"` // the program behind its own interpreter, which is a chain of links
	Engines     []Engine  `json:"engines,omitempty"`
	BuiltAt     time.Time `json:"built_at"`
}

// changed says what has become of the interpreter since an environment was built from it; "": nothing. Another program under the same name is most
// likely another version, which would not find the packages.
func (s stamp) changed(python string) string {
	switch now, err := filepath.EvalSymlinks(python); {
	case err != nil:
		return fmt.Sprintf("it was installed with %s, which is gone", s.Interpreter)
	case now != s.Interpreter:
		return fmt.Sprintf("it was installed with %s, in the place of which there is %s now", s.Interpreter, now)
	}
	return ""
}

const stampName = "pdfmill-complete.json"

// Installed reports whether the packages of an environment are there, so that Ensure needs no network and little time.
func Installed(c Config) bool { return Missing(c) == "" }

// Missing says why the packages of an environment are not there, as the end of a sentence; "": they are.
func Missing(c Config) string {
	p, err := newBuild(c.withDefaults()).packages()
	if err != nil {
		return failure.Sentence(err)
	}
	s, raw, err := p.stamped()
	switch {
	case err != nil && raw == nil:
		return "it is not installed in " + c.Dir
	case err != nil || s.Hash != p.hash:
		return "its installation in " + p.dir + " was not finished"
	}
	return s.changed(p.python())
}

// Ensure returns the environment, after building it if need be; when it is there, that costs two file reads and no process. Concurrent calls, in
// this process or others, build once. The error is a *failure.Error of class engine-missing with a hint and, as detail, the installer's last words; or, when
// ctx has ended, its error without a class.
func Ensure(ctx context.Context, c Config) (Env, error) {
	b := newBuild(c.withDefaults())
	if s, ok := b.whole(); ok && !s.BuiltAt.Before(c.Suspect) {
		return b.env(), nil
	}
	env, err := b.locked(ctx)
	if err != nil && ctx.Err() != nil {
		return Env{}, fmt.Errorf("build the runner's environment: %w", ctx.Err())
	}
	return env, err
}

func (c Config) withDefaults() Config {
	if c.Sources == nil {
		c.Sources, c.Hash = runnerpy.Sources(), runnerpy.Hash()
	}
	if c.Progress == nil {
		c.Progress = func(string, string) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// build is one environment on its way.
type build struct {
	Config
	hash   string // of sources, extra and what was asked for as interpreter
	dir    string
	python string // of the environment
}

func newBuild(c Config) *build {
	sum := sha256.Sum256([]byte(c.Hash + "\n" + c.Extra + "\n" + c.Python))
	hash := hex.EncodeToString(sum[:])
	dir := filepath.Join(c.Dir, "runner-"+hash[:12])
	return &build{Config: c, hash: hash, dir: dir, python: filepath.Join(dir, "bin", "python")}
}

func (b *build) env() Env {
	s, _ := b.stamp() // it was just seen, or written
	return Env{Python: b.python, Hash: b.hash, Dir: b.dir, Engines: s.Engines}
}

func (b *build) stamp() (stamp, bool) {
	var s stamp
	raw, err := os.ReadFile(filepath.Join(b.dir, stampName))
	return s, err == nil && json.Unmarshal(raw, &s) == nil
}

// whole reports whether the environment is complete, of this hash and of the interpreter that is asked for, which is still the one it was built from.
func (b *build) whole() (stamp, bool) {
	s, ok := b.stamp()
	return s, ok && s.Hash == b.hash && s.Python == b.Config.Python && s.changed(b.python) == ""
}

// locked builds unless somebody else has while we waited for the lock.
func (b *build) locked(ctx context.Context) (Env, error) {
	if err := os.MkdirAll(b.Dir, 0o700); err != nil {
		return Env{}, b.failed("create folder", err, "")
	}
	done, err := turn(ctx, b.dir, func() { b.say(StepWaiting, "another process builds it") })
	if err != nil {
		return Env{}, b.failed("lock", err, "")
	}
	defer done()
	if s, ok := b.whole(); ok {
		if !s.BuiltAt.Before(b.Suspect) {
			return b.env(), nil
		}
		b.Log.Warn("the runner's environment is suspected and built anew", "dir", b.dir)
	}
	began := time.Now()
	if err := b.build(ctx); err != nil {
		return Env{}, err
	}
	b.Log.Info("the runner's environment is ready", "dir", b.dir, "seconds", time.Since(began).Seconds())
	return b.env(), nil
}

func (b *build) say(step, detail string) {
	b.Log.Debug("runner environment", "step", step, "detail", detail)
	b.Progress(step, detail)
}

func (b *build) failed(op string, cause error, output string) *failure.Error {
	return failure.New(failure.EngineMissing, op+" for the runner's Python environment", b.dir, cause).WithHint(hint(output, cause)).WithDetail(output)
}
