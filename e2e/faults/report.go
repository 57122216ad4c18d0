package faults

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/e2e/checker"
)

// verify has the checker look, fails the test for each fault it finds, and reports the figures.
func (c *cluster) verify(scenario string) checker.Verdict {
	c.t.Helper()
	v, err := checker.Check(c.t.Context(), c.js, c.s3, c.dropped)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range v.Faults {
		c.t.Error(f)
	}
	stall := longestStall(c.faults, c.heard.all())
	c.t.Logf("%s: %d faults, %d documents (%d converted, %d failed), lost 0, duplicated events %d, dead letters %d, longest stall %s",
		scenario, len(c.faults), v.Sources, v.Converted, v.Failed, v.Duplicates, v.DeadLetters, stall.Round(100*time.Millisecond))
	if !c.t.Failed() {
		publish(c.t, scenario, fmt.Sprintf("| %s | %s | %d | %d | %d | 0 | %d | %.1f s |\n",
			scenario, kinds(c.faults), v.Sources, v.Converted, v.Failed, v.Duplicates, stall.Seconds()))
	}
	return v
}

// verifyCounts has the checker look at what counts for a tenant whose source is the folder of its name, and returns that by day.
func (c *cluster) verifyCounts(tenant string) map[string]checker.Counts {
	c.t.Helper()
	sizes := maps.Clone(c.sizes)
	maps.DeleteFunc(sizes, func(path string, _ int64) bool { return !strings.HasPrefix(path, inbox+"/"+tenant+"/") })
	counts, faults, err := checker.CheckCounts(c.t.Context(), c.js, c.s3, tenant, sizes)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range faults {
		c.t.Error(f)
	}
	c.t.Logf("tenant %s: %+v", tenant, counts)
	return counts
}

// longestStall is the longest time from a fault to the next event that was heard of.
func longestStall(faults []injection, events []time.Time) time.Duration {
	slices.SortFunc(events, time.Time.Compare)
	var longest time.Duration
	for _, f := range faults {
		for _, e := range events {
			if e.After(f.at) {
				longest = max(longest, e.Sub(f.at))
				break
			}
		}
	}
	return longest
}

// kinds counts the faults by kind: of crash points, by stage; of clocks, by how much.
func kinds(faults []injection) string {
	counts := map[string]int{}
	var order []string
	for _, f := range faults {
		kind, _, _ := strings.Cut(f.kind, "/")
		if counts[kind] == 0 {
			order = append(order, kind)
		}
		counts[kind]++
	}
	if len(faults) == 0 {
		return "none"
	}
	slices.Sort(order)
	for i, kind := range order {
		order[i] = fmt.Sprintf("%d × %s", counts[kind], kind)
	}
	return fmt.Sprintf("%d: %s", len(faults), strings.Join(order, ", "))
}

// FiguresDir is the variable that names the folder in which each scenario leaves its row for docs/reliability.md.
const FiguresDir = "PDFMILL_FIGURES"

func publish(t testing.TB, scenario, row string) {
	t.Helper()
	dir := os.Getenv(FiguresDir)
	if dir == "" {
		return
	}
	name := strings.Map(func(r rune) rune {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			return r
		}
		return '-'
	}, strings.ToLower(scenario))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".row"), []byte(row), 0o644); err != nil {
		t.Fatal(err)
	}
}
