package main

import (
	"container/heap"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
)

func name(kind string, n int) string { return kind + strconv.Itoa(n) }

// card is a GPU. Its clock goes at the speed that the law allows the jobs that run on it; work is timed by it.
type card struct {
	id      string
	total   int64
	used    int64
	clock   float64
	running int
	steps   queue // of jobs, by the card's clock
}

// worker is a process on a card.
type worker struct {
	name   string
	on     *card
	loaded bool
	job    *run
	holds  int64 // for its job
	left   int   // conversions until it is replaced
	leaves bool
}

// machine runs jobs in simulated time, as a policy says.
type machine struct {
	law     law
	policy  policy
	load    *load
	random  *rand.Rand
	cards   []*card
	workers []*worker
	now     float64
	later   queue // what happens at a time whoever works
	waiting int   // jobs handed to the policy
	count   tally
	order   int                             // of the next event, among those of the same time
	watch   func(m *machine, until float64) // before time passes; may be nil
}

// tally is what came of it.
type tally struct {
	jobs, oom, lost int
	pages           int
	working         float64 // byte-seconds of memory of workers that had a job
}

// policy decides.
type policy interface {
	// add takes a job that waits.
	add(r *run)
	// decide acts through the machine, after every event, until it has nothing more to do.
	decide(m *machine)
	loaded(w *worker)
	// using tells that what a worker holds for its job was measured.
	using(w *worker)
	// finished tells that a worker's job has ended, in an error of memory or well, and says whether it is to be tried again.
	finished(w *worker, oom bool) (again bool)
	gone(m *machine, w *worker)
	// ahead is how many jobs it wants to see.
	ahead() int
}

const (
	recycleAfter, recycleJitter = 100, 20
	loadLeast, loadMost         = 10.0, 15.0
	released                    = 0.5 // after a process has ended, its memory is free
	backoff                     = 1.0 // after an error of memory
	measured                    = 1.0 // devices are measured so often
	startsWith                  = 0.3 // of its peak is what a job holds at first
)

func newMachine(l law, total int64, cards int, jobs *load, p policy) *machine {
	m := &machine{
		law: l, policy: p, load: jobs, random: rand.New(rand.NewPCG(7, 24)), //nolint:gosec // a simulation
	}
	for i := range cards {
		m.cards = append(m.cards, &card{id: name("gpu", i), total: total})
	}
	return m
}

// start loads a worker, whose memory is taken at once. It reports false when there isn't as much.
func (m *machine) start(called string, on *card) bool {
	if on.used+resident+cudaContext > on.total {
		return false
	}
	on.used += resident + cudaContext
	w := &worker{name: called, on: on, left: recycleAfter - recycleJitter + m.random.IntN(2*recycleJitter+1)}
	m.workers = append(m.workers, w)
	m.after(loadLeast+m.random.Float64()*(loadMost-loadLeast), func() {
		w.loaded = true
		m.policy.loaded(w)
	})
	return true
}

// end unloads an idle worker.
func (m *machine) end(w *worker) {
	w.leaves = true
	m.after(released, func() {
		w.on.used -= resident + cudaContext
		m.workers = slices.DeleteFunc(m.workers, func(other *worker) bool { return other == w })
		m.policy.gone(m, w)
	})
}

// idle lists the workers that could take a job.
func (m *machine) idle() (list []*worker) {
	for _, w := range m.workers {
		if w.loaded && w.job == nil && !w.leaves {
			list = append(list, w)
		}
	}
	return list
}

// begin gives a job to an idle worker.
func (m *machine) begin(r *run, w *worker, scale float64) {
	m.waiting--
	c := w.on
	w.job = r
	c.running++
	took, peak := r.at(scale), r.peak(scale)
	first := int64(float64(peak) * startsWith)
	if !m.grow(w, first) {
		m.after(0, func() { m.over(w, true) })
		return
	}
	began := c.clock
	m.add(&c.steps, began+took*r.rises, func() {
		if !m.grow(w, peak-first) {
			m.over(w, true)
			return
		}
		m.add(&c.steps, began+took, func() { m.over(w, false) })
	})
}

// grow takes memory for a job, up to the card's true limit.
func (m *machine) grow(w *worker, bytes int64) bool {
	if w.on.used+bytes > w.on.total {
		return false
	}
	w.on.used += bytes
	w.holds += bytes
	r := w.job
	m.after(m.random.Float64()*measured, func() {
		if w.job == r {
			m.policy.using(w)
		}
	})
	return true
}

// over ends a job.
func (m *machine) over(w *worker, oom bool) {
	r := w.job
	w.on.used -= w.holds
	w.on.running--
	again := m.policy.finished(w, oom)
	w.job, w.holds = nil, 0
	w.left--
	switch {
	case !oom:
		m.count.jobs++
		m.count.pages += r.pages
	default:
		m.count.oom++
		if again {
			r.tries++
			m.waiting++
			m.after(backoff, func() { m.policy.add(r) })
		} else {
			m.count.lost++
		}
	}
}

// run goes on until so many jobs have ended.
func (m *machine) run(ctx context.Context, jobs int) error {
	for m.count.jobs+m.count.lost < jobs {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for m.waiting < m.policy.ahead() {
			m.waiting++
			m.policy.add(m.load.next())
		}
		m.policy.decide(m)
		if err := m.step(); err != nil {
			return err
		}
	}
	return nil
}

// step goes to the next event, and does it.
func (m *machine) step() error {
	wait, from := math.Inf(1), (*queue)(nil)
	if len(m.later) > 0 {
		wait, from = m.later[0].at-m.now, &m.later
	}
	for _, c := range m.cards {
		if len(c.steps) > 0 {
			if t := (c.steps[0].at - c.clock) / m.law.speed(c.running); t < wait {
				wait, from = t, &c.steps
			}
		}
	}
	if from == nil {
		return errors.New("nothing will ever happen: jobs wait and nobody works")
	}
	wait = max(0, wait)
	if m.watch != nil {
		m.watch(m, m.now+wait)
	}
	m.now += wait
	for _, c := range m.cards {
		c.clock += wait * m.law.speed(c.running)
	}
	for _, w := range m.workers {
		if w.job != nil {
			m.count.working += wait * float64(resident+cudaContext+w.holds)
		}
	}
	heap.Pop(from).(event).do() //nolint:forcetypeassert // nothing else is in it
	return nil
}

func (m *machine) after(seconds float64, do func()) { m.add(&m.later, m.now+seconds, do) }

// event is something that happens at a time.
type event struct {
	at    float64
	order int
	do    func()
}

// queue holds events, the next one first.
type queue []event

// add puts an event into a queue of the machine's.
func (m *machine) add(q *queue, at float64, do func()) {
	m.order++
	heap.Push(q, event{at, m.order, do})
}

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || (q[i].at == q[j].at && q[i].order < q[j].order)
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) } //nolint:forcetypeassert // container/heap
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}
