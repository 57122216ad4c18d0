//go:build linux

package cgroup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/cgroup/cgrouptest"
)

const (
	mib    = 1 << 20
	doomed = "PDFMILL_TEST_DOOMED" // a folder, or auto: makes a group there and lives until it is killed
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(doomed); dir != "" {
		doom(dir)
	}
	os.Exit(m.Run())
}

func open(t *testing.T) (*Tree, int) {
	t.Helper()
	dir, version := cgrouptest.Folder(t)
	tree, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("control groups of version %d, in %s", version, dir)
	return tree, version
}

func group(t *testing.T, tree *Tree, memory int64) *Group {
	t.Helper()
	g, err := tree.New(memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// run runs a shell's script in a group and returns what it printed and how it ended.
func run(t *testing.T, g *Group, script string) (printed string, state *os.ProcessState) {
	t.Helper()
	var out strings.Builder
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", &out, &out
	done := make(chan error)
	go func() {
		done <- onThread(func() error {
			if err := g.Start(cmd); err != nil {
				return err
			}
			_ = cmd.Wait() // the state says it
			return nil
		})
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState
}

// alive reports whether a process runs and isn't a zombie.
func alive(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	state := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))[0]
	return state != "Z" && state != "X"
}

// The very first instruction of a child is in the group already, with its limits; the thread that started it is where it was.
func TestAChildBeginsInItsGroup(t *testing.T) {
	tree, version := open(t)
	g := group(t, tree, 100*mib)
	said, state := run(t, g, "cat /proc/self/cgroup")
	if !strings.Contains(said, filepath.Base(g.dir)) {
		t.Errorf("%s: in %s", state, said)
	}
	limits := map[string]string{"memory.max": "104857600", "pids.max": strconv.Itoa(tasks), "memory.oom.group": "1"}
	if version == 1 {
		limits = map[string]string{"memory.limit_in_bytes": "104857600"}
	}
	for file, want := range limits {
		if got, err := read(filepath.Join(g.dir, file)); got != want {
			t.Errorf("%s is %q, want %q (%v)", file, got, want, err)
		}
	}
	if left := members(g.dir); len(left) > 0 {
		t.Errorf("%v are still in it", left)
	}
}

// The kernel's out-of-memory killer kills for real, and only its kills are told as such.
func TestTheKernelsKillIsKnown(t *testing.T) {
	tree, _ := open(t)
	greedy, modest := group(t, tree, 50*mib), group(t, tree, 50*mib)
	_, state := run(t, greedy, "exec tail /dev/zero")
	if status := state.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		t.Fatalf("not killed: %s", state)
	}
	if killed, bound := greedy.OutOfMemory(); !killed || bound != 50*mib {
		t.Errorf("out of memory: %v, %d", killed, bound)
	}
	_, state = run(t, modest, "kill -9 $$")
	if killed, _ := modest.OutOfMemory(); killed {
		t.Errorf("%s taken for a kill by the kernel", state)
	}
}

// What leaves its process group and its session is still in the control group, and goes with it.
func TestNothingEscapesAGroup(t *testing.T) {
	tree, _ := open(t)
	g := group(t, tree, 0)
	said, state := run(t, g, "setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo $!")
	pid, err := strconv.Atoi(strings.TrimSpace(said))
	if err != nil || !alive(pid) {
		t.Fatalf("%s: %s", state, said)
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
	pipelinetest.Eventually(t, "it is gone", func() bool { return !alive(pid) })
	if _, err := os.Stat(g.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the group is left: %v", err)
	}
}

// A service whose group systemd has delegated finds it, steps aside into a group in it, and makes the workers' beside that; started anew it finds itself there.
func TestADelegatedServiceStepsAside(t *testing.T) {
	dir, version := cgrouptest.Folder(t)
	if version == 1 {
		t.Skip("control groups of version 1 are not delegated")
	}
	if err := unix.Setxattr(dir, "trusted.delegate", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		folder, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer folder.Close()
		if within := filepath.Join(dir, leaf); exists(within) {
			if folder, err = os.Open(within); err != nil {
				t.Fatal(err)
			}
			defer folder.Close()
		}
		service, pid := startDoomed(t, Auto, &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(folder.Fd())})
		if in := members(filepath.Join(dir, leaf)); !slices.Contains(in, service.Process.Pid) {
			t.Errorf("%v are in %s, not the service", in, leaf)
		}
		if all, _ := filepath.Glob(filepath.Join(dir, prefix+"*")); len(all) != 1 || !slices.Contains(members(all[0]), pid) {
			t.Errorf("groups %v, a worker %d", all, pid)
		}
		_ = service.Process.Kill()
		_ = service.Wait()
		tree, err := Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := tree.Sweep(); n != 1 || err != nil {
			t.Errorf("swept %d, %v", n, err)
		}
	}
}

// startDoomed starts a service that makes a group and a process in it, and returns that one's number, too.
func startDoomed(t *testing.T, place string, attr *syscall.SysProcAttr) (service *exec.Cmd, pid int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	service = exec.Command(self)
	service.Env, service.SysProcAttr = append(os.Environ(), doomed+"="+place), attr
	out, err := service.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if pid, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		t.Fatalf("it said %q", line)
	}
	return service, pid
}

// doom makes a group below dir, starts a process in it, tells its number, and waits for its own end.
func doom(dir string) {
	err := onThread(func() error {
		tree, err := Open(context.Background(), dir)
		if err != nil {
			return err
		}
		g, err := tree.New(0)
		if err != nil {
			return err
		}
		cmd := exec.Command("sleep", "1000")
		if err := g.Start(cmd); err != nil {
			return err
		}
		fmt.Println(cmd.Process.Pid)
		select {}
	})
	fmt.Println(err)
	os.Exit(1)
}

// A service that was killed leaves groups and processes; the next one removes them, and leaves those alone whose owner lives.
func TestSweepRemovesWhatTheDeadLeft(t *testing.T) {
	tree, _ := open(t)
	live := group(t, tree, 0)
	parent, pid := startDoomed(t, tree.dir, nil)
	if n, err := tree.Sweep(); n != 0 || err != nil {
		t.Errorf("swept %d of the living, %v", n, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	if !alive(pid) {
		t.Fatal("the process is gone already: this test proves nothing")
	}
	if n, err := tree.Sweep(); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	pipelinetest.Eventually(t, "what ran in it is gone", func() bool { return !alive(pid) })
	if _, err := os.Stat(live.dir); err != nil {
		t.Errorf("a living one's group: %v", err)
	}
}

func TestWithoutDelegationThereIsAReason(t *testing.T) {
	if _, err := Open(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "no control group") {
		t.Errorf("%v", err)
	}
	if _, err := delegated(t.TempDir()); !errors.Is(err, ErrNotDelegated) {
		t.Errorf("%v", err)
	}
	none := (*Tree)(nil)
	g, err := none.New(mib)
	if g != nil || err != nil {
		t.Errorf("%v, %v", g, err)
	}
	if said, state := run(t, g, "echo here"); said != "here\n" {
		t.Errorf("%s: %s", state, said)
	}
	if killed, _ := g.OutOfMemory(); killed || g.Remove() != nil {
		t.Error("a group that is none")
	}
}
