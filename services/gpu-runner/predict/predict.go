// Package predict says how much memory a conversion will need: at first from a cautious prior, then from what conversions like it were seen to use.
// It is pure: no clock, no I/O, no lock.
package predict

import (
	"math"
)

// Key names conversions that are alike.
type Key struct {
	Engine  string
	Version string
	Model   string  // of the device
	Scale   float64 // of the engine's batches
}

// Size is what is known of a conversion beforehand.
type Size struct {
	Pages      int
	Megapixels float64 // of all pages, at 72 dpi; 0: not known, taken as that of A4
}

// a4 is the area of an A4 page in megapixels at 72 dpi.
const a4 = 0.5

// bucket groups sizes: each holds sizes up to √2 times as large as the one before.
func (s Size) bucket() int {
	area := s.Megapixels
	if area <= 0 {
		area = float64(s.Pages) * a4
	}
	work := float64(max(s.Pages, 1)) + area/a4
	return min(max(int(math.Round(2*math.Log2(work))), 0), buckets-1)
}

const buckets = 48

// largest is the largest work of a bucket.
func largest(bucket int) float64 { return math.Exp2((float64(bucket) + 0.5) / 2) }

// Prior is what is believed before anything was seen: a straight line in the work of a conversion, up to a limit. Bytes.
type Prior struct {
	Base     int64
	PerPage  int64 // of A4
	Most     int64
	Resident int64 // what a worker holds when it does nothing
}

func (p Prior) of(bucket int) int64 {
	return min(p.Base+int64(largest(bucket)/2*float64(p.PerPage)), p.Most)
}

// Tuning of the estimates.
const (
	enough = 12 // samples before the prior is dropped
	// Each estimate is the larger of a high quantile and of the recent maximum, with a margin. The maximum decays by the half within some 1,400
	// samples: a peak that was seen once in a thousand conversions is still respected.
	quantile   = 0.99
	decay      = 0.9995
	margin     = 1.10
	oomFactor  = 1.5   // what a conversion that ran out of memory is taken to have needed, of what was reserved for it
	forget     = 0.998 // weight of a sample after each later one
	resolution = 8     // bins an octave
	smallest   = 24    // the first bin holds up to 2^24 bytes
	bins       = (40 - smallest) * resolution
)

// cell is what was seen of one bucket: a histogram of peaks with logarithmic bins, older samples weighing less.
type cell struct {
	Weights [bins]float64 `json:"-"`
	Sparse  map[int]float64
	Seen    int
	Recent  float64 // the decaying maximum
	known   int64   // the estimate, until something is added; 0: to be made
}

func binOf(bytes int64) int {
	if bytes <= 1<<smallest {
		return 0
	}
	return min(int(math.Ceil((math.Log2(float64(bytes))-smallest)*resolution)), bins-1)
}

func upper(bin int) float64 { return math.Exp2(smallest + float64(bin)/resolution) }

func (c *cell) add(bytes int64) {
	for i := range c.Weights {
		c.Weights[i] *= forget
	}
	c.Weights[binOf(bytes)]++
	c.Seen++
	c.known = 0
	c.Recent = max(c.Recent*decay, float64(bytes))
}

func (c *cell) estimate() int64 {
	if c.known == 0 {
		c.known = c.make()
	}
	return c.known
}

func (c *cell) make() int64 {
	var sum float64
	for _, w := range c.Weights {
		sum += w
	}
	var below float64
	high := 0.0
	for i, w := range c.Weights {
		if below += w; w > 0 && below >= quantile*sum {
			high = upper(i)
			break
		}
	}
	return int64(max(high, c.Recent) * margin)
}

// Predictor knows what was seen. Use New.
type Predictor struct {
	prior func(engine string) Prior
	cells map[Key]*[buckets]*cell
}

// New returns a predictor that has seen nothing.
func New(prior func(engine string) Prior) *Predictor {
	return &Predictor{prior: prior, cells: map[Key]*[buckets]*cell{}}
}

// Prior is what is believed of an engine.
func (p *Predictor) Prior(engine string) Prior { return p.prior(engine) }

// Need predicts how much a conversion will add to its worker's resident memory, in bytes: never less than a smaller one needs, and never more than
// with larger batches.
func (p *Predictor) Need(k Key, s Size) int64 {
	full := k
	if full.Scale = 1; k.Scale > 0 && k.Scale < 1 {
		return min(p.need(k, s), p.need(full, s))
	}
	return p.need(full, s)
}

func (p *Predictor) need(k Key, s Size) int64 {
	own := s.bucket()
	prior := p.prior(k.Engine)
	row := p.cells[k]
	if row == nil {
		row = p.cells[Key{k.Engine, k.Version, k.Model, 1}] // other batch scales are guessed from full batches
		if row == nil {
			return scaled(prior.of(own), k.Scale)
		}
	} else {
		k.Scale = 1
	}
	var need int64
	known := false
	for b := own; b >= 0; b-- {
		c := row[b]
		if c == nil {
			continue
		}
		need = max(need, c.estimate())
		known = known || (b == own && c.Seen >= enough)
	}
	if !known {
		need = max(need, prior.of(own))
	}
	return scaled(need, k.Scale)
}

// scaled guesses what smaller batches need: a part of the memory doesn't depend on them.
func scaled(bytes int64, scale float64) int64 {
	if scale <= 0 || scale >= 1 {
		return bytes
	}
	return int64(float64(bytes) * (0.35 + 0.65*scale))
}

// Observe tells what a conversion has used at most, beside its worker's resident memory.
func (p *Predictor) Observe(k Key, s Size, bytes int64) { p.cell(k, s).add(max(bytes, 0)) }

// OutOfMemory tells that what was reserved for a conversion was not enough.
func (p *Predictor) OutOfMemory(k Key, s Size, reserved int64) {
	limit := p.prior(k.Engine).Most // an engine has its limits, however often a conversion fails
	p.cell(k, s).add(max(reserved, min(int64(float64(reserved)*oomFactor), limit)))
}

func (p *Predictor) cell(k Key, s Size) *cell {
	row := p.cells[k]
	if row == nil {
		row = &[buckets]*cell{}
		p.cells[k] = row
	}
	b := s.bucket()
	if row[b] == nil {
		row[b] = &cell{}
	}
	return row[b]
}
