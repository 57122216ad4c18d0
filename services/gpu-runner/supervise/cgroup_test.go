package supervise

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/gpu-runner/cgroup"
	"github.com/pdfmill/pdfmill/services/gpu-runner/cgroup/cgrouptest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/fakechild"
)

const mib = 1 << 20

// groups are the machine's real control groups; left says which of them are there.
func groups(t *testing.T) (tree *cgroup.Tree, left func() []string) {
	t.Helper()
	dir, _ := cgrouptest.Folder(t)
	tree, err := cgroup.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return tree, func() []string {
		all, _ := filepath.Glob(filepath.Join(dir, "pdfmill-*"))
		return all
	}
}

// A worker that needs more memory than it may have is killed by the kernel for real, and the failure says so with the bound; its siblings, and one that somebody
// else kills, are as before.
func TestAWorkerBeyondItsMemoryIsTheKernels(t *testing.T) {
	tree, left := groups(t)
	grouped := func(c fakechild.Config) *Process {
		cfg := config(c)
		cfg.Groups, cfg.Command.Memory = tree, 300*mib
		return start(t, cfg)
	}
	sibling := grouped(fakechild.Config{At: faults{fakechild.AtConvert: {Signal: 9}}})
	greedy := grouped(fakechild.Config{Grow: 1 << 30})
	if n := len(left()); n != 2 {
		t.Errorf("%d control groups for two workers", n)
	}
	_, err := greedy.Convert(t.Context(), request(t, "c-1", "a.pdf"), nil)
	if failure.ClassOf(err, "") != failure.HostOOM || !strings.Contains(err.Error(), "more memory than the 300 MiB") {
		t.Errorf("%v", err)
	}
	_, err = sibling.Convert(t.Context(), request(t, "c-2", "a.pdf"), nil)
	if failure.ClassOf(err, "") != failure.Crash {
		t.Errorf("killed by somebody: %v", err)
	}
	<-greedy.Done()
	<-sibling.Done()
	if still := left(); len(still) > 0 {
		t.Errorf("control groups stay behind: %v", still)
	}
}

// A process that a worker has started, and that has left its group and its session, ends with it.
func TestAStrayEndsWithItsWorker(t *testing.T) {
	tree, left := groups(t)
	child := fakechild.Config{Grandchild: true, Stray: true, PIDFile: inDir(t, "pids")}
	cfg := config(child)
	cfg.Groups = tree
	p := start(t, cfg)
	pids := pidsIn(t, child.PIDFile)
	if stat, _ := statOf(pids[1]); stat.group == pids[0] {
		t.Fatalf("the stray is in its parent's group: this test proves nothing")
	}
	_ = p.Stop(patience)
	allGone(t, child.PIDFile)
	if still := left(); len(still) > 0 {
		t.Errorf("control groups stay behind: %v", still)
	}
}

// What a killed service leaves, strays and control groups, the next one removes.
func TestNothingOfAKilledServiceOutlivesTheNext(t *testing.T) {
	dir, _ := cgrouptest.Folder(t)
	pids, _ := killed(t, dir)
	tree, err := cgroup.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := tree.Sweep(); n != 2 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	allGone(t, pids)
	if left, err := os.ReadDir(dir); err != nil || contains(left, "pdfmill-") {
		t.Errorf("left: %v, %v", left, err)
	}
}

func contains(entries []os.DirEntry, prefix string) bool {
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			return true
		}
	}
	return false
}
