package jet_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// usedOn is what a tenant has used, as everybody reads it.
func usedOn(t *testing.T, b *jet.Broker, name string, now time.Time) tenant.Usage {
	t.Helper()
	all, err := b.TenantReports(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Name == name {
			return r.Used
		}
	}
	t.Fatalf("no tenant %s among %v", name, all)
	return tenant.Usage{}
}

// TestCountOnceByMany: whoever counts, as often as they like and at the same time, a thing counts once, and no more than the quota.
func TestCountOnceByMany(t *testing.T) {
	b, url := pipelinetest.NATS(t)
	acme := tenant.Tenant{Name: "acme", Source: "in", Documents: 25}
	if err := b.SetTenants(t.Context(), tenant.Set{acme, {Name: "bolt", Source: "bolt-in"}}, 1); err != nil {
		t.Fatal(err)
	}
	const things, counters = 40, 4
	var refused [things]atomic.Int64
	var group sync.WaitGroup
	for range counters {
		meter := jet.NewMeter(pipelinetest.Connect(t, url))
		group.Go(func() {
			for _, i := range rand.Perm(things) {
				over, err := meter.Count(t.Context(), acme, fmt.Sprint("thing ", i), tenant.Usage{Documents: 1, Bytes: 10}, noon, true)
				if err != nil {
					t.Error(err)
				}
				if over != nil {
					refused[i].Add(1)
				}
				if _, err := meter.Count(t.Context(), tenant.Tenant{Name: "bolt"}, fmt.Sprint("thing ", i), tenant.Usage{DeviceSeconds: 0.5}, noon, false); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if used := usedOn(t, b, "acme", noon); used != (tenant.Usage{Documents: 25, Bytes: 250}) {
		t.Errorf("acme has used %+v, want 25 documents of 10 bytes", used)
	}
	if used := usedOn(t, b, "bolt", noon); used != (tenant.Usage{DeviceSeconds: things * 0.5}) {
		t.Errorf("bolt has used %+v, want %d halves of a second", used, things)
	}
	never := 0
	for i := range refused {
		if refused[i].Load() == counters {
			never++
		}
	}
	if never != things-25 {
		t.Errorf("%d things were refused by everybody, want %d", never, things-25)
	}
}

// TestCountAcrossMidnight: what counted yesterday does not count again today, and what was refused yesterday counts today.
func TestCountAcrossMidnight(t *testing.T) {
	b, _ := pipelinetest.NATS(t)
	acme := tenant.Tenant{Name: "acme", Source: "in", Documents: 1}
	if err := b.SetTenants(t.Context(), tenant.Set{acme}, 1); err != nil {
		t.Fatal(err)
	}
	meter, today, tomorrow := jet.NewMeter(b), noon, noon.Add(24*time.Hour)
	count := func(thing string, now time.Time) *tenant.Exceeded {
		t.Helper()
		over, err := meter.Count(t.Context(), acme, thing, tenant.Usage{Documents: 1}, now, true)
		if err != nil {
			t.Fatal(err)
		}
		return over
	}
	if over := count("first", today); over != nil {
		t.Fatal(over)
	}
	if over := count("second", today); over == nil || !over.Until.Equal(time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)) {
		t.Fatalf("a second document of one: %v", over)
	}
	if over := count("first", today); over != nil {
		t.Fatalf("the first came again, and is refused: %v", over)
	}
	if over := count("first", tomorrow); over != nil {
		t.Fatal(over)
	}
	if used := usedOn(t, b, "acme", tomorrow); used.Documents != 0 {
		t.Fatalf("yesterday's document counts today: %+v", used)
	}
	if over := count("second", tomorrow); over != nil {
		t.Fatal(over)
	}
	if used := usedOn(t, b, "acme", today); used.Documents != 1 {
		t.Fatalf("today's document counts yesterday: %+v", used)
	}
}

const (
	countingEnv = "PDFMILL_TEST_COUNT_AT"
	killedCount = 400
)

// countForever is the process that TestCountSurvivesKills kills: it counts things, one after the other, and says which it counts.
func countForever(url string) {
	b, err := jet.Connect(context.Background(), jet.Config{URL: url}, "counter", telemetry.Discard())
	if err != nil {
		panic(err)
	}
	meter := jet.NewMeter(b)
	for {
		i := rand.N(killedCount)
		if _, err := meter.Count(context.Background(), tenant.Tenant{Name: "acme"}, fmt.Sprint("thing ", i), tenant.Usage{Documents: 1, Bytes: int64(i)}, noon, false); err != nil {
			panic(err)
		}
		fmt.Println(i)
	}
}

// TestCountSurvivesKills: processes that count are killed in the middle of it, again and again. In the end each thing has counted once.
func TestCountSurvivesKills(t *testing.T) {
	b, url := pipelinetest.NATS(t)
	if err := b.SetTenants(t.Context(), tenant.Set{{Name: "acme", Source: "in"}}, 1); err != nil {
		t.Fatal(err)
	}
	const kills = 12
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for range kills / 2 {
				c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
				c.Env = append(os.Environ(), countingEnv+"="+url)
				out, err := c.StdoutPipe()
				if err == nil {
					err = c.Start()
				}
				if err != nil {
					t.Error(err)
					return
				}
				lines := bufio.NewScanner(out)
				for n := rand.N(60); n >= 0 && lines.Scan(); n-- { // it is killed after so many, in the middle of the next
				}
				_ = c.Process.Kill()
				_ = c.Wait()
			}
		})
	}
	group.Wait()
	meter := jet.NewMeter(b)
	want := int64(0)
	for i := range killedCount {
		want += int64(i)
		if _, err := meter.Count(t.Context(), tenant.Tenant{Name: "acme"}, fmt.Sprint("thing ", i), tenant.Usage{Documents: 1, Bytes: int64(i)}, noon, false); err != nil {
			t.Fatal(err)
		}
	}
	if used := usedOn(t, b, "acme", noon); used.Documents != killedCount || used.Bytes != want {
		t.Fatalf("%+v, want %d documents of %d bytes", used, killedCount, want)
	}
}
