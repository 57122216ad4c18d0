package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const gib = 1 << 30

// world drives a ledger as a service would, and remembers what it did.
type world struct {
	l       *Ledger
	names   int
	workers map[string]bool // loaded?
	running map[string]Grant
	waiting map[string]string // job → pool
}

func newWorld(devices ...Device) *world {
	w := &world{l: New(Policy{}), workers: map[string]bool{}, running: map[string]Grant{}, waiting: map[string]string{}}
	for _, d := range devices {
		w.l.Open(d)
	}
	return w
}

func (w *world) name(kind string) string { w.names++; return fmt.Sprintf("%s%d", kind, w.names) }

func (w *world) free(device string) int64 { return w.l.account(device).free() }

func pick[K ~string, V any](t *rapid.T, m map[K]V) (K, bool) {
	if len(m) == 0 {
		return "", false
	}
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return rapid.SampledFrom(keys).Draw(t, "of"), true
}

func (w *world) idle(pool string) []string {
	var idle []string
	for name, loaded := range w.workers {
		if h := w.l.holders[name]; loaded && h.pool == pool && h.job == nil {
			idle = append(idle, name)
		}
	}
	slices.Sort(idle)
	return idle
}

// obey unloads what the ledger names.
func (w *world) obey() (n int) {
	for _, e := range w.l.Evict() {
		w.l.Gone(e.Worker)
		delete(w.workers, e.Worker)
		n++
	}
	return n
}

var pools = []string{"marker", "marker suspect", "text"}

// Whatever happens in whatever order: no decision takes memory that isn't there, and nothing that was booked is left at the end.
func TestNoDecisionBreaksTheInvariant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		devices := []Device{{ID: "a", Total: 24 * gib, Reserve: gib}, {ID: "b", Total: 8 * gib, Reserve: gib / 2}}[:rapid.IntRange(1, 2).Draw(t, "devices")]
		w := newWorld(devices...)
		size := func(most int64) int64 { return rapid.Int64Range(0, most).Draw(t, "bytes") }
		device := func() string { return devices[rapid.IntRange(0, len(devices)-1).Draw(t, "device")].ID }
		pool := func() string { return rapid.SampledFrom(pools).Draw(t, "pool") }
		decided := func(device string, what any) {
			if free := w.free(device); free < 0 {
				t.Fatalf("%v leaves %s with a debt of %d", what, device, -free)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"load": func(*rapid.T) {
				h := Holder{Name: w.name("w"), Pool: pool(), Device: device(), Bytes: size(6 * gib), Headroom: size(3 * gib), Pinned: rapid.IntRange(0, 9).Draw(t, "pin") == 0}
				before := w.free(h.Device)
				if err := w.l.Load(h); err != nil {
					if r := (*Refusal)(nil); !errors.As(err, &r) || r.Reason == "" || w.free(h.Device) != before {
						t.Fatalf("refused with %v, free %d then %d", err, before, w.free(h.Device))
					}
					return
				}
				w.workers[h.Name] = false
				decided(h.Device, h)
			},
			"place": func(*rapid.T) {
				h, ok := w.l.Place(pool())
				if !ok {
					return
				}
				h.Name = w.name("w")
				if err := w.l.Load(h); err != nil {
					t.Fatalf("Load refuses what Place has proposed: %v", err)
				}
				w.workers[h.Name] = false
				decided(h.Device, h)
			},
			"loaded": func(*rapid.T) { // may be more than booked: a fact
				if name, ok := pick(t, w.workers); ok {
					w.l.Loaded(name, size(7*gib))
					w.workers[name] = true
				}
			},
			"gone": func(*rapid.T) {
				if name, ok := pick(t, w.workers); ok {
					w.l.Gone(name)
					delete(w.workers, name)
					for job, g := range w.running {
						if g.Worker == name {
							delete(w.running, job)
						}
					}
				}
			},
			"wait": func(*rapid.T) {
				usual := size(12 * gib)
				most := usual + size(6*gib)
				j := Job{
					ID: w.name("j"), Pool: pool(), Lane: Lane(rapid.IntRange(0, 2).Draw(t, "lane")), Resident: 4 * gib, Alone: rapid.IntRange(0, 9).Draw(t, "alone") == 0,
					Need: tailed(usual, most),
				}
				w.l.Wait(j)
				w.waiting[j.ID] = j.Pool
				if w.l.Why(j.ID) == "" {
					t.Fatal("no reason")
				}
			},
			"forget": func(*rapid.T) {
				if id, ok := pick(t, w.waiting); ok {
					w.l.Forget(id)
					delete(w.waiting, id)
				}
			},
			"next": func(*rapid.T) {
				p := pool()
				g, ok := w.l.Next(p, w.idle(p))
				if !ok {
					return
				}
				if w.waiting[g.Job] != p || !w.workers[g.Worker] || g.Bytes < 0 {
					t.Fatalf("%+v", g)
				}
				delete(w.waiting, g.Job)
				w.running[g.Job] = g
				decided(g.Device, g)
			},
			"return": func(*rapid.T) {
				id, ok := pick(t, w.running)
				if !ok {
					return
				}
				if !w.l.Return(id) {
					t.Fatalf("%s is not running", id)
				}
				w.waiting[id] = w.l.waiting(id).Pool
				delete(w.running, id)
			},
			"using": func(*rapid.T) { // may be more than reserved: a fact
				if name, ok := pick(t, w.workers); ok {
					w.l.Using(name, size(12*gib))
				}
			},
			"finish": func(*rapid.T) {
				if id, ok := pick(t, w.running); ok {
					w.l.Finish(id)
					delete(w.running, id)
				}
			},
			"strangers": func(*rapid.T) { w.l.Strangers(device(), size(30*gib)) },
			"close":     func(*rapid.T) { w.l.Close(device(), "lent") },
			"reopen":    func(*rapid.T) { w.l.Reopen(device()) },
			"evict":     func(*rapid.T) { w.obey() },
			"": func(t *rapid.T) {
				for id, g := range w.running {
					if h := w.l.running[id]; h == nil || h.name != g.Worker {
						t.Fatalf("the booking of %s is lost", id)
					}
				}
				for id := range w.waiting {
					if w.l.waiting(id) == nil {
						t.Fatalf("%s is lost", id)
					}
				}
				if !slices.IsSortedFunc(w.l.queue, func(x, y *waiting) int { return cmp.Compare(x.seq, y.seq) }) {
					t.Fatal("the queue is not in order of arrival")
				}
				for _, a := range w.l.accounts {
					if a.alone() != nil && a.jobs() > 1 {
						t.Fatalf("%s is not alone on %s", a.alone().ID, a.ID)
					}
				}
			},
		})

		// A stranger's growth can't keep the books false: running jobs end, and what is evicted leaves.
		for id := range w.running {
			w.l.Finish(id)
		}
		for name, loaded := range w.workers {
			if !loaded {
				resident, _ := w.l.Held(name)
				w.l.Loaded(name, resident)
				w.workers[name] = true
			}
		}
		for w.obey() > 0 {
		}
		for _, b := range w.l.Books() {
			pinned := false
			for _, h := range w.l.account(b.Device).holders {
				pinned = pinned || h.pinned
			}
			if b.Free < 0 && !pinned && b.Residents > 0 {
				t.Fatalf("debt stays: %+v", b)
			}
		}
		for name := range w.workers {
			w.l.Gone(name)
		}
		for id := range w.waiting {
			w.l.Forget(id)
		}
		for _, b := range w.l.Books() {
			if b.Residents != 0 || b.Reserved != 0 || b.Workers != 0 || b.Jobs != 0 {
				t.Fatalf("left behind: %+v", b)
			}
		}
		if len(w.l.queue)+len(w.l.running)+len(w.l.holders) != 0 {
			t.Fatalf("left behind: %d waiting, %d running, %d holders", len(w.l.queue), len(w.l.running), len(w.l.holders))
		}
	})
}

// However many small jobs keep coming, in whatever lane and from whatever pool, a large one that fits an empty device runs.
func TestNobodyWaitsForEver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(Device{ID: "a", Total: 24 * gib, Reserve: gib})
		shared := rapid.Bool().Draw(t, "the same pool")
		for range rapid.IntRange(1, 4).Draw(t, "workers") {
			name := w.name("w")
			if err := w.l.Load(Holder{Name: name, Pool: "text", Device: "a", Bytes: 4 * gib}); err != nil {
				t.Fatal(err)
			}
			w.l.Loaded(name, 4*gib)
			w.workers[name] = true
		}
		need := func(n int64) func(string, float64) Need {
			return func(string, float64) Need { return Need{Usual: n, Most: n} }
		}
		big := Job{
			ID: "big", Pool: "marker", Resident: 4 * gib, Need: need(rapid.Int64Range(gib, 19*gib).Draw(t, "big")),
			Lane: Lane(rapid.IntRange(0, 2).Draw(t, "lane")), Alone: rapid.Bool().Draw(t, "alone"),
		}
		if shared {
			big.Pool = "text"
		}
		w.l.Wait(big)
		for step := 0; ; step++ {
			if step > 2000 {
				t.Fatalf("still waiting: %s", w.l.Why("big"))
			}
			for len(w.l.queue) < 4 {
				w.l.Wait(Job{
					ID: w.name("s"), Pool: "text", Lane: Lane(rapid.IntRange(0, 1).Draw(t, "lane")), Resident: 4 * gib,
					Need: need(rapid.Int64Range(0, 2*gib).Draw(t, "small")),
				})
			}
			w.obey()
			for _, pool := range []string{"text", "marker"} {
				for {
					g, ok := w.l.Next(pool, w.idle(pool))
					if !ok {
						break
					}
					if g.Job == "big" {
						return
					}
					w.running[g.Job] = g
				}
				if h, ok := w.l.Place(pool); ok {
					h.Name = w.name("w")
					if err := w.l.Load(h); err != nil {
						t.Fatal(err)
					}
					w.l.Loaded(h.Name, h.Bytes)
					w.workers[h.Name] = true
				}
			}
			if id, ok := pick(t, w.running); ok {
				w.l.Finish(id)
				delete(w.running, id)
			}
		}
	})
}

// Once nothing more can start, nobody is told that it may: what is said of a wait is what decided.
func TestEveryWaitIsExplainedByWhatDecidedIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(Device{ID: "a", Total: 24 * gib, Reserve: gib}, Device{ID: "b", Total: 8 * gib})
		size := func(most int64) int64 { return rapid.Int64Range(0, most).Draw(t, "bytes") }
		for range rapid.IntRange(0, 6).Draw(t, "workers") {
			h := Holder{Name: w.name("w"), Pool: rapid.SampledFrom(pools).Draw(t, "pool"), Device: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "device"), Bytes: size(5 * gib)}
			if w.l.Load(h) == nil {
				if w.workers[h.Name] = rapid.IntRange(0, 3).Draw(t, "loaded") > 0; w.workers[h.Name] {
					w.l.Loaded(h.Name, h.Bytes)
				}
			}
		}
		if rapid.IntRange(0, 4).Draw(t, "closed") == 0 {
			w.l.Close("a", "lent")
		}
		w.l.Strangers("b", size(4*gib))
		var granted []string
		for range rapid.IntRange(1, 60).Draw(t, "rounds") {
			usual := size(8 * gib)
			j := Job{
				ID: w.name("j"), Pool: rapid.SampledFrom(pools).Draw(t, "pool"), Lane: Lane(rapid.IntRange(0, 2).Draw(t, "lane")), Resident: 4 * gib,
				Alone: rapid.IntRange(0, 4).Draw(t, "alone") == 0, Need: tailed(usual, usual+size(6*gib)),
			}
			w.l.Wait(j)
			w.waiting[j.ID] = j.Pool
			if len(granted) > 0 && rapid.Bool().Draw(t, "end") {
				w.l.Finish(granted[0])
				granted = granted[1:]
			}
			for _, pool := range pools {
				for g, ok := w.l.Next(pool, w.idle(pool)); ok; g, ok = w.l.Next(pool, w.idle(pool)) {
					granted = append(granted, g.Job)
					delete(w.waiting, g.Job)
				}
			}
		}
		for id := range w.waiting {
			if why := w.l.Why(id); why == "" || strings.Contains(why, "it may start") || strings.Contains(why, "does not wait") {
				t.Fatalf("%s waits: %q", id, why)
			}
		}
	})
}
