package predict

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/pdfmill/pdfmill/services/gpu-runner/ledger"
)

const gib = 1 << 30

var prior = Prior{Base: gib, PerPage: gib / 10, Most: 6 * gib}

func predictor() *Predictor { return New(func(string) Prior { return prior }) }

var key = Key{Engine: "marker", Version: "1.10.2", Model: "sim", Scale: 1}

func TestThePriorGrowsWithPagesAndPixelsUpToItsLimit(t *testing.T) {
	p := predictor()
	last := int64(0)
	for _, pages := range []int{1, 2, 4, 8, 16, 32} {
		need := p.Need(key, Size{Pages: pages}).Usual
		if need <= last {
			t.Errorf("%d pages need %d, fewer needed %d", pages, need, last)
		}
		last = need
	}
	if p.Need(key, Size{Pages: 4, Megapixels: 20}).Usual <= p.Need(key, Size{Pages: 4, Megapixels: 2}).Usual {
		t.Error("large pages need no more than small ones")
	}
	if need := p.Need(key, Size{Pages: 1000}); need.Usual != prior.Most || need.Most != prior.Most {
		t.Errorf("%d", need)
	}
}

func TestItLearnsWhatIsUsualAndKeepsRespectForTheTail(t *testing.T) {
	p, random := predictor(), rand.New(rand.NewPCG(1, 2))
	s := Size{Pages: 8}
	draw := func() int64 { return int64((0.8 + 0.2*random.Float64()) * gib) }
	gibs := func(n int64) float64 { return float64(n) / gib }
	for range 100 {
		p.Observe(key, s, draw())
	}
	if need := p.Need(key, s); gibs(need.Usual) < 0.9 || gibs(need.Usual) > 1 || need.Most < 9*prior.Most/10 {
		t.Errorf("after 100 peaks of up to 1 GiB: %.2f, at most %.2f GiB: so few say nothing of the tail", gibs(need.Usual), gibs(need.Most))
	}
	for range 4000 {
		p.Observe(key, s, draw())
	}
	if need := p.Need(key, s); gibs(need.Usual) < 0.9 || gibs(need.Usual) > 1 || need.Most < gib || gibs(need.Most) > 1.3 {
		t.Errorf("after 4100 peaks of up to 1 GiB: %.2f, at most %.2f GiB", gibs(need.Usual), gibs(need.Most))
	}
	p.Observe(key, s, 4*gib)
	for range 2000 {
		p.Observe(key, s, draw())
	}
	if need := p.Need(key, s); gibs(need.Usual) > 1 || gibs(need.Most) < 3.5 {
		t.Errorf("2000 conversions after a peak of 4 GiB: %.2f, at most %.2f GiB", gibs(need.Usual), gibs(need.Most))
	}
	for range 20_000 {
		p.Observe(key, s, draw())
	}
	if need := p.Need(key, s); gibs(need.Most) > 1.3 {
		t.Errorf("22000 conversions after it: at most %.2f GiB", gibs(need.Most))
	}
}

func TestAnOutOfMemoryErrorIsASampleToo(t *testing.T) {
	p := predictor()
	for range 4000 {
		p.Observe(key, Size{Pages: 8}, gib)
	}
	before := p.Need(key, Size{Pages: 8})
	p.OutOfMemory(key, Size{Pages: 8}, 2*gib)
	if after := p.Need(key, Size{Pages: 8}); after.Most < 3*gib || before.Most > 2*gib {
		t.Errorf("%d, then %d", before, after)
	}
}

// Pages that run out of memory whatever they get don't make everybody's prediction grow without end: their device would do nothing else beside such a job.
func TestWhatNoMemoryHelpsTeachesNothing(t *testing.T) {
	p := predictor()
	size := Size{Pages: 8}
	for range 200 {
		p.OutOfMemory(key, size, p.Need(key, size).Most)
	}
	if limit, need := p.Prior(key.Engine).Most, p.Need(key, size); float64(need.Most) > margin*float64(limit)+1 {
		t.Errorf("at most %d bytes, of an engine that is believed to need %d", need.Most, limit)
	}
}

func TestPressureAsksForMoreThenForTheDeviceThenForSmallerBatches(t *testing.T) {
	j := ledger.Job{Need: func(string, float64) ledger.Need { return ledger.Need{Usual: gib, Most: 5 * gib} }}
	for pressure, want := range []struct {
		usual int64
		alone bool
		scale float64
	}{{gib, false, 0}, {5 * gib, false, 0}, {5 * gib, true, 0}, {5 * gib, true, 0.5}} {
		got := Pressure(pressure).On(j)
		if got.Need("", 1).Usual != want.usual || got.Alone != want.alone || got.MaxScale != want.scale {
			t.Errorf("%d: %+v needs %+v", pressure, got, got.Need("", 1))
		}
	}
}

func TestWhatASmallerConversionUsedCountsForALargerOneAndSmallerBatchesNeverNeedMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := predictor()
		most := map[int]int64{}
		for range rapid.IntRange(0, 60).Draw(t, "samples") {
			k, pages, bytes := key, rapid.IntRange(1, 64).Draw(t, "pages"), rapid.Int64Range(0, 8*gib).Draw(t, "bytes")
			if k.Scale = rapid.SampledFrom([]float64{1, 0.5}).Draw(t, "scale"); k.Scale == 1 {
				most[pages] = max(most[pages], bytes)
			}
			p.Observe(k, Size{Pages: pages}, bytes)
		}
		n := rapid.IntRange(1, 64).Draw(t, "n")
		need := p.Need(key, Size{Pages: n})
		for pages, bytes := range most {
			if pages <= n && bytes > need.Most {
				t.Fatalf("%d pages used %d, %d pages need %+v", pages, bytes, n, need)
			}
		}
		half := key
		half.Scale = 0.5
		if small := p.Need(half, Size{Pages: n}); small.Usual > need.Usual || small.Most > need.Most {
			t.Fatalf("in smaller batches %+v instead of %+v", small, need)
		}
	})
}

// What was seen of one size in small batches must not make another size look as large as in full ones.
func TestThePriorOfSmallBatchesStaysSmall(t *testing.T) {
	p, half := predictor(), key
	half.Scale = 0.5
	before := p.Need(half, Size{Pages: 32})
	p.Observe(half, Size{Pages: 1}, gib/4)
	if after := p.Need(half, Size{Pages: 32}); after != before || after.Most >= prior.Most {
		t.Errorf("%+v, then %+v", before, after)
	}
}

func TestSaveAndRestore(t *testing.T) {
	p := predictor()
	for i := range 100 {
		p.Observe(key, Size{Pages: 1 + i%40}, int64(i)*gib/50)
	}
	data, err := p.Save(key)
	if err != nil {
		t.Fatal(err)
	}
	q := predictor()
	if err := q.Restore(data); err != nil {
		t.Fatal(err)
	}
	for pages := range 40 {
		if a, b := p.Need(key, Size{Pages: pages}), q.Need(key, Size{Pages: pages}); a != b {
			t.Errorf("%d pages: %d, restored %d", pages, a, b)
		}
	}
	for _, bad := range []string{"", "[]", `{"key":{},"cells":{"99":{}}}`, `{"key":{},"cells":{"1":{"Sparse":{"-1":1}}}}`} {
		if err := predictor().Restore([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
