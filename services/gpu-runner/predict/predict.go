// Package predict says how much memory a conversion will need: at first from a cautious prior, then from what conversions like it were seen to use.
// It is pure: no clock, no I/O, no lock.
package predict

import (
	"math"

	"github.com/pdfmill/pdfmill/services/gpu-runner/ledger"
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
	// What is usual is a moderate quantile: the ledger keeps memory beside the reservations for the one job that needs more. What is most is the
	// recent maximum with a margin; it decays by the half within some 7,000 samples, so that what was seen once in a thousand is respected.
	quantile   = 0.8
	decay      = 0.9999
	margin     = 1.1
	enough     = 12    // samples before the prior of what is usual is dropped
	plenty     = 2000  // samples until the prior of what is most has faded: fewer say little of a tail
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
	Recent  float64     // the decaying maximum
	known   ledger.Need // the estimate, until something is added; zero: to be made
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
	c.known = ledger.Need{}
	c.Recent = max(c.Recent*decay, float64(bytes))
}

func (c *cell) estimate() ledger.Need {
	if c.known == (ledger.Need{}) {
		c.known = c.make()
	}
	return c.known
}

func (c *cell) make() ledger.Need {
	var sum float64
	for _, w := range c.Weights {
		sum += w
	}
	var below float64
	high := 0.0
	for i, w := range c.Weights {
		if below += w; w > 0 && below >= quantile*sum {
			high = upper(i) * math.Exp2(-(below-quantile*sum)/w/resolution) // between the bin's ends
			break
		}
	}
	return ledger.Need{Usual: int64(high), Most: int64(max(high, c.Recent) * margin)}
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

// Need predicts how much a conversion will add to its worker's resident memory. What smaller ones were seen to use counts too, and it is never more
// than with larger batches.
func (p *Predictor) Need(k Key, s Size) ledger.Need {
	full := k
	full.Scale = 1
	need := p.need(full, s)
	if k.Scale > 0 && k.Scale < 1 {
		small := p.need(k, s)
		need.Usual, need.Most = min(need.Usual, small.Usual), min(need.Most, small.Most)
	}
	return need
}

func (p *Predictor) need(k Key, s Size) ledger.Need {
	own := s.bucket()
	prior := p.prior(k.Engine)
	believed := scaled(ledger.Need{Usual: prior.of(own), Most: prior.Most}, k.Scale)
	row, as := p.cells[k], 1.0
	if row == nil { // other batch scales are guessed from full batches
		row, as = p.cells[Key{k.Engine, k.Version, k.Model, 1}], k.Scale
	}
	if row == nil {
		return believed
	}
	var need ledger.Need
	seen := 0
	for b := own; b >= 0; b-- {
		c := row[b]
		if c == nil {
			continue
		}
		e := scaled(c.estimate(), as)
		need.Usual, need.Most = max(need.Usual, e.Usual), max(need.Most, e.Most)
		if b == own {
			seen = c.Seen
		}
	}
	if seen < enough {
		need.Usual = max(need.Usual, believed.Usual)
	}
	if rest := believed.Most - need.Most; seen < plenty && rest > 0 {
		need.Most += int64(float64(rest) * (1 - float64(seen)/plenty))
	}
	return need
}

// scaled guesses what smaller batches need: a part of the memory doesn't depend on them.
func scaled(n ledger.Need, scale float64) ledger.Need {
	if scale <= 0 || scale >= 1 {
		return n
	}
	part := 0.35 + 0.65*scale
	return ledger.Need{Usual: int64(float64(n.Usual) * part), Most: int64(float64(n.Most) * part)}
}

// Observe tells what a conversion has used at most, beside its worker's resident memory.
func (p *Predictor) Observe(k Key, s Size, bytes int64) { p.cell(k, s).add(max(bytes, 0)) }

// OutOfMemory tells that what was reserved for a conversion was not enough. Where that was more than the engine is believed to need at most, it teaches nothing: with the
// margin on top each such error would raise the next reservation, up to the whole device. What really takes more is seen when it is done.
func (p *Predictor) OutOfMemory(k Key, s Size, reserved int64) {
	if limit := p.prior(k.Engine).Most; reserved < limit {
		p.cell(k, s).add(min(int64(float64(reserved)*oomFactor), limit))
	}
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
