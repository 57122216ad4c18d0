package main

import (
	"context"
	"fmt"

	"github.com/pdfmill/pdfmill/services/gpu-runner/predict"
)

// scenario is one run.
type scenario struct {
	law     law
	gb      int64 // of a card
	cards   int
	workers int // of a fixed pool, a card; 0: the ledger decides
	jobs    int
	prior   predict.Prior
	tail    float64
	seed    uint64
}

// usualTail is Pareto's index of how dense a dense range is.
const usualTail = 2.5

// plain reports whether it is one of the table of fixed pools; others ask what happens when something is different.
func (c scenario) plain() bool { return c.prior == honest && c.tail == usualTail && c.seed == 1 }

func (c scenario) policy() string {
	if c.workers == 0 {
		return "ledger"
	}
	return fmt.Sprintf("fixed-%d", c.workers)
}

// cases are all runs of the benchmark.
func cases(long bool) (list []scenario) {
	times, million := 1, 50_000
	if long {
		times, million = 4, 1_000_000
	}
	for _, l := range []law{linear, saturating} {
		for _, d := range []struct {
			gb          int64
			cards, most int // workers of the largest fixed pool whose models fit
			jobs        int
		}{{24, 1, 4, 50_000 * times}, {80, 8, 4, 20_000 * times}, {8, 1, 2, 10_000 * times}} {
			for n := range d.most + 1 {
				list = append(list, scenario{law: l, gb: d.gb, cards: d.cards, workers: n, jobs: d.jobs, prior: honest, tail: usualTail, seed: 1})
			}
		}
	}
	list[0].jobs = million
	what := list[0]
	what.prior, what.jobs = bad, 100_000
	list = append(list, what)
	what.prior, what.jobs = honest, 50_000*times
	for seed := range uint64(3) {
		what.seed, what.tail = seed+2, usualTail
		list = append(list, what)
		what.seed, what.tail = seed+1, 1.5
		list = append(list, what)
	}
	return list
}

// result is what came of a scenario.
type result struct {
	scenario
	DeviceGB     int64   `json:"device_gb"`
	Policy       string  `json:"policy"`
	Jobs         int     `json:"jobs"`
	OOM          int     `json:"oom"`
	Lost         int     `json:"lost"`
	PagesPerHour float64 `json:"pages_per_hour"`
	// MemoryTimeUsed is the part of all cards' memory, over the time, that workers with a job held.
	MemoryTimeUsed float64 `json:"memory_time_used"`
}

func (c scenario) machine() *machine {
	total := c.gb * gib
	p := policy(newBooked(c.prior, total, c.cards))
	if c.workers > 0 {
		p = &fixed{workers: c.workers}
	}
	return newMachine(c.law, total, c.cards, newLoad(c.seed, c.tail), p)
}

func (c scenario) run(ctx context.Context) (result, error) {
	m := c.machine()
	if err := m.run(ctx, c.jobs); err != nil {
		return result{}, fmt.Errorf("%s on %d × %d GB: %w", c.policy(), c.cards, c.gb, err)
	}
	return result{
		scenario: c, DeviceGB: c.gb, Policy: c.policy(), Jobs: m.count.jobs + m.count.lost, OOM: m.count.oom, Lost: m.count.lost,
		PagesPerHour: float64(m.count.pages) / m.now * 3600, MemoryTimeUsed: m.count.working / (float64(c.gb*gib) * float64(c.cards) * m.now),
	}, nil
}

func (r result) String() string {
	return fmt.Sprintf("%-10s %d × %2d GB  tail %.1f  seed %d  %-8s %8d jobs  %5d oom  %4d lost  %8.0f pages/h  %4.1f %% of memory-time",
		r.law.name, r.cards, r.gb, r.tail, r.seed, r.Policy, r.Jobs, r.OOM, r.Lost, r.PagesPerHour, 100*r.MemoryTimeUsed)
}
