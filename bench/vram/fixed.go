package main

// fixed is a pool of so many workers a card: whoever is idle gets the next job. A job that runs out of memory is tried again, as the ledger does.
type fixed struct {
	workers int
	queue   []*run
	started bool
	names   int
}

// tries a job gets, after errors of memory.
const tries = 4

func (p *fixed) add(r *run) { p.queue = append(p.queue, r) }

func (p *fixed) ahead() int { return 8 * p.workers }

func (p *fixed) decide(m *machine) {
	if !p.started {
		p.started = true
		for _, c := range m.cards {
			for range p.workers {
				p.start(m, c)
			}
		}
	}
	for _, w := range m.idle() {
		if w.left <= 0 {
			m.end(w)
			continue
		}
		if len(p.queue) == 0 {
			return
		}
		r := p.queue[0]
		p.queue = p.queue[1:]
		m.begin(r, w, 1)
	}
}

func (p *fixed) start(m *machine, c *card) {
	p.names++
	if !m.start(name("w", p.names), c) {
		m.after(backoff, func() { p.start(m, c) })
	}
}

func (p *fixed) loaded(*worker) {}

func (p *fixed) finished(w *worker, oom bool) bool { return oom && w.job.tries+1 < tries }

func (p *fixed) gone(m *machine, w *worker) { p.start(m, w.on) }

func (p *fixed) using(*worker) {}
