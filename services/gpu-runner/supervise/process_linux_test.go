package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
	"github.com/pdfmill/pdfmill/services/gpu-runner/fakechild"
)

// TestAConfinedWorker has no network but its own and no way to more privileges; an ordinary one has both.
func TestAConfinedWorker(t *testing.T) {
	state := func(confined bool) (network string, forgone bool) {
		t.Helper()
		cfg := config(fakechild.Config{})
		cfg.Command.Confined = confined
		pid := start(t, cfg).Info().PID
		network, err := os.Readlink(procPath(pid, "ns/net"))
		if err != nil {
			t.Fatal(err)
		}
		status, err := os.ReadFile(procPath(pid, "status"))
		if err != nil {
			t.Fatal(err)
		}
		return network, bytes.Contains(status, []byte("NoNewPrivs:\t1"))
	}
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if network, forgone := state(false); network != ours || forgone {
		t.Errorf("an ordinary worker: network %s of %s, no new privileges %t", network, ours, forgone)
	}
	allowed := mayBeAlone() == nil
	if network, forgone := state(true); (network != ours) != allowed || !forgone {
		t.Errorf("a confined worker: network %s of %s (the kernel allows another: %t), no new privileges %t", network, ours, allowed, forgone)
	}
	self, err := os.ReadFile("/proc/self/status")
	if err != nil || bytes.Contains(self, []byte("NoNewPrivs:\t1")) {
		t.Errorf("this process lost its own way to privileges: %v", err)
	}
}

// TestAWorkerOfAnotherUser is nobody, may do nothing that root may, and works all the same.
func TestAWorkerOfAnotherUser(t *testing.T) {
	user, err := unprivileged.Find(unprivileged.Auto)
	if err != nil {
		t.Fatal(err)
	}
	if user == nil {
		t.Log("only root can start processes as somebody else")
		return
	}
	dir, err := os.MkdirTemp("", "pdfmill-user-") // where everybody may pass, as a test's own folder is not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	out := filepath.Join(dir, "out")
	cfg := config(fakechild.Config{})
	program, err := os.ReadFile(cfg.Command.Path)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Command.Path, cfg.Command.User, cfg.Command.Confined, cfg.Command.Data = filepath.Join(dir, "worker"), user, true, 1<<40
	if err := errors.Join(os.Chmod(dir, 0o711), os.WriteFile(cfg.Command.Path, program, 0o700), os.Chmod(cfg.Command.Path, 0o755), os.Mkdir(out, 0o700), user.Own(out)); err != nil {
		t.Fatal(err)
	}
	p := start(t, cfg)
	status, err := os.ReadFile(procPath(p.Info().PID, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("Uid: %[1]d %[1]d %[1]d %[1]d", user.UID), fmt.Sprintf("Gid: %[1]d %[1]d %[1]d %[1]d", user.GID), "Groups: NStgid:", "CapEff: 0000000000000000", "NoNewPrivs: 1",
	} {
		if !strings.Contains(strings.Join(strings.Fields(string(status)), " "), want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	if l := limits(t, p); !strings.Contains(l, "Max data size 1099511627776 1099511627776 bytes") || !strings.Contains(l, "Max open files 4096 4096 files") {
		t.Errorf("its limits: %s", l)
	}
	if us, err := os.ReadFile("/proc/self/status"); err != nil || !strings.Contains(strings.Join(strings.Fields(string(us)), " "), "Uid: 0 0 0 0 Gid: 0 0 0 0") {
		t.Errorf("this process, %v:\n%s", err, us)
	}
	r := request(t, "c-1", "a.pdf")
	r.OutDir = out
	if result, err := p.Convert(t.Context(), r, nil); err != nil || len(result.Pages) != 3 {
		t.Errorf("%+v, %v", result, err)
	}
	if err := os.Chown(out, 0, 0); err != nil {
		t.Fatal(err)
	}
	r = request(t, "c-2", "a.pdf")
	r.OutDir = out
	if result, err := p.Convert(t.Context(), r, nil); err == nil {
		t.Errorf("it wrote into a folder of root's: %+v", result)
	}
}

// limits are those of a process as the kernel has them.
func limits(t *testing.T, p *Process) string {
	t.Helper()
	raw, err := os.ReadFile(procPath(p.Info().PID, "limits"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(raw)), " ")
}

func TestAWorkerIsBounded(t *testing.T) {
	cfg := config(fakechild.Config{})
	cfg.Command.Data = 1 << 40
	bounded := limits(t, start(t, cfg))
	for _, line := range []string{"Max data size 1099511627776 1099511627776 bytes", "Max open files 4096 4096 files", "Max core file size 0 0 bytes"} {
		if !strings.Contains(bounded, line) {
			t.Errorf("no %q in %s", line, bounded)
		}
	}
	cfg.Command.Data = 0
	if l := limits(t, start(t, cfg)); !strings.Contains(l, "Max data size unlimited") {
		t.Errorf("bounded although nobody asked: %s", l)
	}
	if score, err := os.ReadFile(procPath(start(t, cfg).Info().PID, "oom_score_adj")); err != nil || strings.TrimSpace(string(score)) != "500" {
		t.Errorf("oom_score_adj %s, %v", score, err)
	}
}

func TestNothingIsInherited(t *testing.T) {
	t.Setenv("NATS_PASSWORD", "secret")
	p := start(t, config(fakechild.Config{}))
	raw, err := os.ReadFile(procPath(p.Info().PID, "environ"))
	if err != nil || bytes.Contains(raw, []byte("secret")) || !bytes.Contains(raw, []byte("OMP_NUM_THREADS=1")) {
		t.Errorf("environment %q, %v", raw, err)
	}
	entries, err := os.ReadDir(procPath(p.Info().PID, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if target, _ := os.Readlink(filepath.Join(procPath(p.Info().PID, "fd"), e.Name())); len(e.Name()) > 1 && strings.HasPrefix(target, "pipe:") {
			t.Errorf("descriptor %s is %s", e.Name(), target)
		}
	}
}
