package pyenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
)

// passed are the variables of our own environment that an installer sees, by the beginning of the name: where the user's packages come from is
// the user's business. Nothing else of ours is its business.
var passed = []string{
	"PATH=", "HOME=", "LANG=", "LC_ALL=", "TMPDIR=", "XDG_CACHE_HOME=", "XDG_CONFIG_HOME=", "PYENV_",
	"PIP_", "UV_", "HF_ENDPOINT=", "HF_TOKEN=", "S3_BASE_URL=", "SSL_CERT_", "REQUESTS_CA_BUNDLE=", "CURL_CA_BUNDLE=",
	"HTTP_PROXY=", "HTTPS_PROXY=", "ALL_PROXY=", "NO_PROXY=", "http_proxy=", "https_proxy=", "all_proxy=", "no_proxy=",
}

// Environment is what a program of the environment gets when an operator runs it: an installer, or whatever fetches weights.
func Environment() []string {
	env := []string{"PYTHONNOUSERSITE=1", "PYTHONUNBUFFERED=1"}
	for _, entry := range os.Environ() {
		for _, name := range passed {
			if strings.HasPrefix(entry, name) {
				env = append(env, entry)
				break
			}
		}
	}
	return env
}

// outputBytes is kept of a command's output.
const outputBytes = 16 << 10

// run runs a command to its end and returns the end of its output. When ctx ends, its whole process group is killed; the same happens to the
// command itself when this process dies. Its lines go to Progress under step, if there is one.
func (b *build) run(ctx context.Context, step string, argv ...string) (string, error) {
	runtime.LockOSThread() // to the end of which the command's is tied
	defer runtime.UnlockOSThread()
	out := &lines{each: func(line string) {
		if step != "" {
			b.say(step, line)
		}
	}}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = b.Dir, Environment()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = unprivileged.Child(nil)
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	out.flush()
	if err != nil {
		return out.kept.String(), fmt.Errorf("%s: %w", strings.Join(argv[:min(len(argv), 3)], " "), err)
	}
	return out.kept.String(), nil
}

// credentials in an address, which an installer's message may hold.
var credentials = regexp.MustCompile(`://[^/@\s]+@`)

// lines cuts output into lines without credentials and keeps the last of them.
type lines struct {
	each func(string)
	part []byte
	kept bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		if l.part = append(l.part, line...); whole || len(l.part) > outputBytes {
			l.flush()
		}
		rest = after
	}
	return len(p), nil
}

func (l *lines) flush() {
	line := strings.TrimRight(credentials.ReplaceAllString(strings.ToValidUTF8(string(l.part), "\uFFFD"), "://***@"), "\r")
	if l.part = l.part[:0]; strings.TrimSpace(line) == "" {
		return
	}
	l.kept.WriteString(line + "\n")
	if cut := l.kept.Len() - outputBytes; cut > 0 {
		l.kept.Next(cut)
	}
	l.each(line)
}

// hint says what to do. It reads the installers' words, which is fit for advice, never for a decision.
func hint(output string, cause error) string {
	says := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(output, w) {
				return true
			}
		}
		return false
	}
	switch {
	case errors.Is(cause, syscall.ENOSPC) || says("No space left on device", "os error 28"):
		return "the disk is full: make room, or put the environment elsewhere"
	case says("ensurepip is not available", "ensurepip is disabled", "No module named ensurepip", "No module named venv"):
		return "this Python can't make environments: install the package python3-venv of your system, or uv"
	case says("Temporary failure in name resolution", "Failed to establish a new connection", "dns error", "Connection refused", "timed out", "ProxyError", "tcp connect error", "error sending request", "Network is unreachable"):
		return "the package index can't be reached: check network, proxy and pip's configuration; on a machine without network, point pip to a local index"
	case says("CERTIFICATE_VERIFY_FAILED", "invalid peer certificate"):
		return "the package index shows a certificate that this machine doesn't trust: set SSL_CERT_FILE, or pip's cert option"
	case says("DO NOT MATCH THE HASHES", "Hash mismatch"):
		return "a package isn't the one this release was tested with: the index, or a proxy on the way, serves something else"
	case says("No matching distribution", "no wheels with a matching", "No solution found"):
		return "the index has no fitting package for this Python or machine: try another Python version"
	case errors.Is(cause, os.ErrPermission):
		return "the folder can't be written by this user"
	}
	return ""
}
