package gpurunner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
)

// underling is the user that workers and servers run as. A nil one is the user of this process.
type underling struct {
	user  *unprivileged.User
	named bool // somebody wants this user and no other
	cache string
	reads []string // besides the interpreter and what is below scratch and cache: models, keys of language models
	log   *slog.Logger

	mu    sync.Mutex
	known map[string]error // by interpreter: why the user can't run it
}

// newUnderling returns the user that the configuration names, nil for that of this process.
func newUnderling(c Config, cache string, log *slog.Logger) (*underling, error) {
	user, err := unprivileged.Find(c.WorkerUser)
	if err != nil {
		return nil, fmt.Errorf("worker-user: %w", err)
	}
	if user == nil {
		return nil, nil
	}
	return &underling{
		user: user, named: c.WorkerUser != unprivileged.Auto, cache: cache, reads: []string{c.Marker.Folder(cache), c.Marker.LLM}, log: log, known: map[string]error{},
	}, nil
}

// lend lets the user read a file.
func (u *underling) lend(path string) error {
	if u == nil {
		return nil
	}
	return u.user.Read(path)
}

// give makes the user the owner of a folder.
func (u *underling) give(path string) error {
	if u == nil {
		return nil
	}
	return u.user.Own(path)
}

// Folders that belong to the user: for temporary files, below scratch, and HOME, below the cache folder.
func temporary(scratch string) string { return filepath.Join(scratch, "tmp") }
func home(cache string) string        { return filepath.Join(cache, "home") }

// settle makes the user's folders. Nobody but this process sees what is in scratch and in the cache folder; the user may pass through.
func (u *underling) settle(scratch string) error {
	if u == nil {
		return nil
	}
	for _, pass := range []string{scratch, u.cache} {
		if err := os.MkdirAll(pass, 0o711); err != nil {
			return err
		}
		info, err := os.Stat(pass)
		if err != nil {
			return err
		}
		if err := os.Chmod(pass, info.Mode().Perm()|0o011); err != nil {
			return err
		}
	}
	for _, own := range []string{temporary(scratch), home(u.cache)} {
		if err := errors.Join(os.MkdirAll(own, 0o700), u.give(own)); err != nil {
			return err
		}
	}
	return nil
}

// reach is what an interpreter is asked as the user: whether it finds the runner, and may read some files and folders.
const reach = `import importlib.util, os, sys
if importlib.util.find_spec("pdfmill_runner") is None:
    sys.exit("the package pdfmill_runner can't be read")
for path in sys.argv[1:]:
    if not os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0)):
        sys.exit(f"{path} can't be read")
`

// reachTime is far more than an interpreter takes to start.
const reachTime = 2 * time.Minute

// runs returns the user that an interpreter runs as, nil for that of this process. Without a named user it falls back to that one where nobody can't run it,
// and says so once.
func (u *underling) runs(ctx context.Context, python, scratch string) (*unprivileged.User, error) {
	if u == nil {
		return nil, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	err, asked := u.known[python]
	if !asked {
		ctx, cancel := context.WithTimeout(ctx, reachTime)
		defer cancel()
		args := []string{"-I", "-c", reach, temporary(scratch), home(u.cache)}
		for _, path := range u.reads {
			if _, err := os.Stat(path); err == nil {
				args = append(args, path)
			}
		}
		cmd := exec.CommandContext(ctx, python, args...)
		cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH")}
		cmd.SysProcAttr = unprivileged.Child(u.user)
		var said bytes.Buffer
		cmd.Stderr = &said
		if err = cmd.Run(); ctx.Err() != nil {
			return nil, fmt.Errorf("ask %s what %s can reach: %w", python, u.user, ctx.Err())
		}
		if err != nil {
			err = fmt.Errorf("%w %s", err, strings.TrimSpace(said.String()))
		}
		u.known[python] = err
		if err != nil && !u.named {
			u.log.Warn("workers run as root: "+u.user.String()+" can't reach what they need; keep interpreter, cache folder (--cache), models and scratch where everybody may read",
				"python", python, "err", err)
		}
	}
	switch {
	case err == nil:
		return u.user, nil
	case !u.named:
		return nil, nil
	}
	return nil, failure.New(failure.EngineMissing, "run as "+u.user.String(), python, err).
		WithHint("keep interpreter, cache folder (--cache), models and scratch where that user may read, or name another one with --worker-user")
}
