package main

import (
	"github.com/pdfmill/pdfmill/services/gpu-runner/ledger"
	"github.com/pdfmill/pdfmill/services/gpu-runner/predict"
)

// booked is the gpu-runner's way: its ledger and its predictor decide.
type booked struct {
	books   *ledger.Ledger
	predict *predict.Predictor
	prior   predict.Prior
	places  int // workers that could ever be
	workers map[string]*worker
	jobs    map[string]*run
	grants  map[string]ledger.Grant
	names   int
}

const pool = "sim"

// Priors: what the gpu-runner's profile says of marker, and one that expects a quarter of that.
var (
	honest = predict.Prior{Resident: 39 * gib / 10, Base: 6 * gib / 10, PerPage: gib / 8, Most: 6 * gib}
	bad    = predict.Prior{Resident: 39 * gib / 10, Base: 15 * gib / 100, PerPage: gib / 32, Most: 15 * gib / 10}
)

func newBooked(prior predict.Prior, total int64, cards int) *booked {
	p := &booked{
		books: ledger.New(ledger.Policy{}), predict: predict.New(func(string) predict.Prior { return prior }), prior: prior,
		places: int(total/prior.Resident) * cards, workers: map[string]*worker{}, jobs: map[string]*run{}, grants: map[string]ledger.Grant{},
	}
	for i := range cards {
		p.books.Open(ledger.Device{ID: name("gpu", i), Total: total, Reserve: max(512<<20, total/25)}) // as package schedule does
	}
	return p
}

// ahead is as the service does it: it holds a range for every place and one more.
func (p *booked) ahead() int { return p.places + 1 }

func key(scale float64) predict.Key {
	return predict.Key{Engine: pool, Version: "1", Model: "card", Scale: scale}
}

func (r *run) size() predict.Size { return predict.Size{Pages: r.pages, Megapixels: r.area * a4Points} }

func (p *booked) add(r *run) {
	p.jobs[r.id] = r
	p.books.Wait(predict.Pressure(r.tries).On(ledger.Job{
		ID: r.id, Pool: pool, Lane: ledger.Bulk, Resident: p.prior.Resident,
		Need: func(_ string, scale float64) ledger.Need { return p.predict.Need(key(scale), r.size()) },
	}))
}

func (p *booked) decide(m *machine) {
	for _, w := range m.idle() {
		if w.left <= 0 {
			p.books.Leaving(w.name)
			m.end(w)
		}
	}
	for _, e := range p.books.Evict() {
		m.end(p.workers[e.Worker])
	}
	for p.next(m) {
	}
	for len(p.workers) < p.places {
		h, ok := p.books.Place(pool)
		if !ok {
			return
		}
		p.names++
		h.Name = name("w", p.names)
		if err := p.books.Load(h); err != nil {
			panic(err) // what Place proposes can be loaded
		}
		if !m.start(h.Name, m.card(h.Device)) {
			panic("the books have room where the card has none")
		}
		p.workers[h.Name] = m.workers[len(m.workers)-1]
	}
}

// next starts a job, if one may start.
func (p *booked) next(m *machine) bool {
	var idle []string
	for _, w := range m.idle() {
		idle = append(idle, w.name)
	}
	g, ok := p.books.Next(pool, idle)
	if ok {
		p.grants[g.Job] = g
		m.begin(p.jobs[g.Job], p.workers[g.Worker], g.Scale)
	}
	return ok
}

func (p *booked) loaded(w *worker) { p.books.Loaded(w.name, resident+cudaContext) }

func (p *booked) using(w *worker) { p.books.Using(w.name, resident+cudaContext+w.holds) }

func (p *booked) finished(w *worker, oom bool) bool {
	r := w.job
	g := p.grants[r.id]
	delete(p.grants, r.id)
	delete(p.jobs, r.id)
	p.books.Finish(r.id)
	if oom {
		p.predict.OutOfMemory(key(g.Scale), r.size(), g.Bytes)
		return r.tries+1 < tries
	}
	p.predict.Observe(key(g.Scale), r.size(), r.peak(g.Scale))
	return false
}

func (p *booked) gone(_ *machine, w *worker) {
	p.books.Gone(w.name)
	delete(p.workers, w.name)
}

func (m *machine) card(id string) *card {
	for _, c := range m.cards {
		if c.id == id {
			return c
		}
	}
	return nil
}
