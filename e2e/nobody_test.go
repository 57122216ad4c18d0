package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
)

// asRoot is who parses documents when root runs pdfmill, nil when this is not root, and a folder that everybody may enter.
func asRoot(t *testing.T) (user *unprivileged.User, open string) {
	t.Helper()
	user, err := unprivileged.Find(unprivileged.Auto)
	if err != nil {
		t.Fatal(err)
	}
	if user == nil {
		t.Log("this is about root")
		return nil, ""
	}
	return user, reachableFolder(t)
}

// reachableFolder is one that everybody may enter, as a test's own is not.
func reachableFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pdfmill-open-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestRootParsesAsNobody: a pipeline that root started opens and converts documents as a user who can read nothing else of it.
func TestRootParsesAsNobody(t *testing.T) {
	user, open := asRoot(t)
	if user == nil {
		return
	}
	cache, python := reachable(t, user, open)
	data := filepath.Join(open, "data")
	p := rig.Up(t, data, "--cache", cache, "--python", python, "--worker-user", "nobody", "--probe-user", "nobody", "--workers", "1")
	p.Put("letter.pdf", read(t, "../samples/letter.pdf"), nil)
	if out := p.Run("submit", "--wait", "../samples/letter.pdf"); out.Code != 0 {
		t.Fatalf("%s%s", out.Stdout, out.Stderr)
	}

	seen := map[string]bool{}
	for _, child := range children(t, p.Processes[0].PID()) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
		if err != nil {
			continue // gone
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child))
		if err != nil {
			continue
		}
		words := strings.ReplaceAll(string(line), "\x00", " ")
		if want := fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d", user.UID); !bytes.Contains(status, []byte(want)) {
			t.Errorf("%s is not nobody:\n%s", words, status)
		}
		if !bytes.Contains(status, []byte("NoNewPrivs:\t1")) {
			t.Errorf("%s could get new privileges:\n%s", words, status)
		}
		seen["a worker"] = seen["a worker"] || strings.Contains(words, "pdfmill_runner")
		seen["a probe"] = seen["a probe"] || strings.HasSuffix(words, " probe ")
	}
	for _, who := range []string{"a worker", "a probe"} {
		if !seen[who] {
			t.Errorf("%s is not there", who)
		}
	}

	tell := func(program string, args ...string) error {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: user.Credential()}
		return cmd.Run()
	}
	for _, private := range []string{"credentials.json", "endpoints.json", "s3/inbox/letter.pdf"} {
		path := filepath.Join(data, private)
		if _, err := os.Stat(path); err != nil {
			t.Errorf("nothing to hide: %v", err)
		}
		if tell("cat", path) == nil {
			t.Errorf("nobody reads %s", path)
		}
	}
	for _, folder := range []string{data, filepath.Join(data, "s3"), filepath.Join(data, "nats"), filepath.Join(data, "scratch"), filepath.Join(cache, "workers")} {
		if _, err := os.Stat(folder); err != nil {
			t.Errorf("nothing to hide: %v", err)
		}
		if tell("ls", folder) == nil {
			t.Errorf("nobody looks into %s", folder)
		}
		if tell("touch", filepath.Join(folder, "x")) == nil {
			t.Errorf("nobody writes into %s", folder)
		}
	}
	p.Stop(10 * time.Second)
	pipelinetest.Eventually(t, "scratch is gone", func() bool {
		_, err := os.Stat(filepath.Join(data, "scratch"))
		return os.IsNotExist(err)
	})
}

// reachable are a cache folder and an interpreter that the user can reach, with the text engine.
func reachable(t *testing.T, user *unprivileged.User, open string) (cache, python string) {
	t.Helper()
	cache, err := rig.Cache()
	if err != nil {
		t.Fatal(err)
	}
	if user.Reach(filepath.Join(cache, "any")) != nil {
		cache = filepath.Join(open, "cache")
	}
	python = "/usr/bin/python3" // one of root's own would be out of reach
	if _, err := os.Stat(python); err != nil {
		python = "python3"
	}
	if out := rig.Run(t, "engines", "install", "text", "--yes", "--cache", cache, "--python", python); out.Code != 0 {
		t.Fatalf("%s", out.Stderr)
	}
	return cache, python
}

// TestRootLooksAsNobody: commands that parse documents by themselves do it as nobody too, of a copy: what somebody has given to them stays as it is.
func TestRootLooksAsNobody(t *testing.T) {
	user, open := asRoot(t)
	if user == nil {
		return
	}
	cache, python := reachable(t, user, open)
	private := filepath.Join(open, "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	letter := filepath.Join(private, "0.pdf")
	for i := range 200 { // so that somebody is seen
		write(t, filepath.Join(private, fmt.Sprintf("%d.pdf", i)), read(t, "../samples/letter.pdf"))
	}
	if err := os.Chmod(letter, 0o600); err != nil {
		t.Fatal(err)
	}
	for words, args := range map[string][]string{" probe ": {"check", private}, "pdfmill_runner": {"engines", "test", "text", letter, "--cache", cache, "--python", python}} {
		p := rig.Start(t, nil, rig.Binary(t, "pdfmill"), args...)
		seen := false
		pipelinetest.Eventually(t, "it ends", func() bool {
			for _, child := range children(t, p.PID()) {
				line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
				status, err2 := os.ReadFile(fmt.Sprintf("/proc/%d/status", child))
				if err == nil && err2 == nil && strings.Contains(strings.ReplaceAll(string(line), "\x00", " "), words) {
					seen = seen || bytes.Contains(status, fmt.Appendf(nil, "Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d", user.UID)) && bytes.Contains(status, []byte("NoNewPrivs:\t1"))
				}
			}
			return p.Gone()
		})
		if !seen {
			t.Errorf("pdfmill %q: nobody was seen:\n%s", args, p.Log())
		}
		if info, err := os.Stat(letter); err != nil || info.Mode().Perm() != 0o600 || info.Sys().(*syscall.Stat_t).Gid != uint32(os.Getgid()) {
			t.Errorf("pdfmill %q has changed the document: %v, %v", args, info, err)
		}
	}
}

// TestRootSaysThatItStaysRoot: where nobody can't reach the folder for copies.
func TestRootSaysThatItStaysRoot(t *testing.T) {
	user, open := asRoot(t)
	if user == nil {
		return
	}
	for dir, says := range map[string]bool{open: false, t.TempDir(): true} {
		if says {
			if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		out := rig.Command{Args: []string{"check", "../samples/letter.pdf"}, Env: []string{"TMPDIR=" + dir}}.Run(t)
		if out.Code != 0 || strings.Contains(out.Stderr, "as root") != says || strings.Contains(out.Stderr, "TMPDIR") != says {
			t.Errorf("copies in %s: exit %d, want it said %t: %s%s", dir, out.Code, says, out.Stdout, out.Stderr)
		}
	}
}

// children are the processes that a process has started.
func children(t *testing.T, parent int) (pids []int) {
	t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		words, err := os.ReadFile(path)
		if err != nil {
			continue // the thread is gone
		}
		for _, word := range strings.Fields(string(words)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
