package main

import (
	"math"
	"math/rand/v2"
)

const gib = 1 << 30

// What marker 1.x takes on a card, as the runner's engine sim has it.
const (
	resident    = 35 * gib / 10 // models
	cudaContext = 4 * gib / 10  // of the process, which no allocator shows
	mostAdded   = 55 * gib / 10 // a conversion adds no more: 9 GiB with the models
	pageCost    = 0.0485        // GiB of an ordinary A4 page
	jobCost     = 0.3           // GiB beside the pages
	dense       = 0.02          // this part of ranges are unusually dense; how dense is Pareto's …
	densest     = 10            // … up to so many times the usual
	a4Points    = 0.5           // megapixels at 72 dpi, which predictions are made from
	rangePages  = 32            // a document is cut into ranges of at most so many

	pageSeconds = 0.18
	jobSeconds  = 0.3 // beside its pages
)

// run is a page range to be converted: a job.
type run struct {
	id      string
	pages   int
	area    float64 // of its pages, in those of A4
	seconds float64 // alone on a card
	adds    float64 // at its peak, to its worker's resident memory, in full batches; GiB
	rises   float64 // when it reaches its peak, as a part of its time
	tries   int
}

// peak is what it adds to its worker's resident memory, with its batches scaled; bytes.
func (r *run) peak(scale float64) int64 {
	return int64(min(r.adds*gib, mostAdded) * (0.3 + 0.7*scale))
}

// smallBatch says what smaller batches cost: at half the size everything takes 2^smallBatch times as long.
const smallBatch = 0.2

// at is the time it takes in batches of that scale.
func (r *run) at(scale float64) float64 { return r.seconds * math.Pow(scale, -smallBatch) }

// load draws documents: 90 % short, 9 % medium, 1 % of 400 and more pages.
type load struct {
	random *rand.Rand
	tail   float64 // Pareto's index
	rest   []*run  // of the document that was drawn last
	drawn  int
}

func newLoad(seed uint64, tail float64) *load {
	return &load{random: rand.New(rand.NewPCG(seed, 24)), tail: tail} //nolint:gosec // a simulation
}

func (l *load) next() *run {
	if len(l.rest) == 0 {
		l.draw()
	}
	r := l.rest[0]
	l.rest = l.rest[1:]
	return r
}

func (l *load) draw() {
	var pages int
	size := 1.0
	switch x := l.random.Float64(); {
	case x < 0.90:
		pages = 1 + l.random.IntN(10)
		if l.random.Float64() < 0.05 {
			size = float64(l.between(2, 4)) // plans and posters
		}
	case x < 0.99:
		pages = l.between(11, 100)
	default:
		pages = l.between(400, 800)
	}
	for pages > 0 {
		n := min(pages, rangePages)
		l.drawn++
		l.rest = append(l.rest, l.part(n, size*float64(n)))
		pages -= n
	}
}

func (l *load) part(pages int, area float64) *run {
	density := 1.0
	if l.random.Float64() < dense {
		density = min(densest, math.Pow(1-l.random.Float64(), -1/l.tail))
	}
	return &run{
		id: name("r", l.drawn), pages: pages, area: area, adds: l.lognormal(0.25) * (jobCost + pageCost*area*density),
		rises: l.random.Float64(), seconds: jobSeconds + pageSeconds*float64(pages)*l.lognormal(0.3),
	}
}

func (l *load) lognormal(sigma float64) float64 { return math.Exp(sigma * l.random.NormFloat64()) }

// between draws a whole number; small ones are as likely as their logarithms.
func (l *load) between(least, most int) int {
	return int(math.Exp(math.Log(float64(least)) + l.random.Float64()*math.Log(float64(most+1)/float64(least))))
}
