package predict

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

const gib = 1 << 30

var prior = Prior{Base: gib, PerPage: gib / 10, Most: 6 * gib}

func predictor() *Predictor { return New(func(string) Prior { return prior }) }

var key = Key{Engine: "marker", Version: "1.10.2", Model: "sim", Scale: 1}

func TestThePriorGrowsWithPagesAndPixelsUpToItsLimit(t *testing.T) {
	p := predictor()
	last := int64(0)
	for _, pages := range []int{1, 2, 4, 8, 16, 32} {
		need := p.Need(key, Size{Pages: pages})
		if need <= last {
			t.Errorf("%d pages need %d, fewer needed %d", pages, need, last)
		}
		last = need
	}
	if p.Need(key, Size{Pages: 4, Megapixels: 20}) <= p.Need(key, Size{Pages: 4, Megapixels: 2}) {
		t.Error("large pages need no more than small ones")
	}
	if need := p.Need(key, Size{Pages: 1000}); need != prior.Most {
		t.Errorf("%d", need)
	}
}

func TestItLearnsAHighQuantileAndKeepsRespectForTheTail(t *testing.T) {
	p, random := predictor(), rand.New(rand.NewPCG(1, 2))
	s := Size{Pages: 8}
	draw := func() int64 { return int64((0.8 + 0.2*random.Float64()) * gib) }
	for range 2000 {
		p.Observe(key, s, draw())
	}
	if need := p.Need(key, s); need < gib || need > 13*gib/10 {
		t.Errorf("after 2000 peaks of up to 1 GiB: %.2f GiB", float64(need)/gib)
	}
	p.Observe(key, s, 4*gib)
	for range 300 {
		p.Observe(key, s, draw())
	}
	if need := p.Need(key, s); need < 3*gib {
		t.Errorf("300 conversions after a peak of 4 GiB: %.2f GiB", float64(need)/gib)
	}
	for range 20000 {
		p.Observe(key, s, draw())
	}
	if need := p.Need(key, s); need > 13*gib/10 {
		t.Errorf("20000 conversions after it: %.2f GiB", float64(need)/gib)
	}
}

func TestAnOutOfMemoryErrorIsASampleToo(t *testing.T) {
	p := predictor()
	for range 50 {
		p.Observe(key, Size{Pages: 8}, gib)
	}
	before := p.Need(key, Size{Pages: 8})
	p.OutOfMemory(key, Size{Pages: 8}, before)
	if after := p.Need(key, Size{Pages: 8}); after < before*3/2 {
		t.Errorf("%d, then %d", before, after)
	}
}

func TestALargerConversionNeverNeedsLessAndSmallerBatchesNeverMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := predictor()
		for range rapid.IntRange(0, 60).Draw(t, "samples") {
			k := key
			k.Scale = rapid.SampledFrom([]float64{1, 0.5}).Draw(t, "scale")
			p.Observe(k, Size{Pages: rapid.IntRange(1, 64).Draw(t, "pages")}, rapid.Int64Range(0, 8*gib).Draw(t, "bytes"))
		}
		a := rapid.IntRange(1, 64).Draw(t, "a")
		b := rapid.IntRange(a, 64).Draw(t, "b")
		if p.Need(key, Size{Pages: a}) > p.Need(key, Size{Pages: b}) && p.Need(key, Size{Pages: b}) < prior.Most {
			t.Fatalf("%d pages need more than %d", a, b)
		}
	})
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
