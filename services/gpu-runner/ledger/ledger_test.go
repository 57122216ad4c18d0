package ledger

import (
	"fmt"
	"strings"
	"testing"
)

func fixed(n int64) func(string, float64) Need { return tailed(n, n) }

func tailed(usual, most int64) func(string, float64) Need {
	part := func(n int64, scale float64) int64 { return int64(float64(n) * scale) }
	return func(_ string, scale float64) Need { return Need{Usual: part(usual, scale), Most: part(most, scale)} }
}

func loaded(t *testing.T, l *Ledger, bytes int64, pool string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := l.Load(Holder{Name: name, Pool: pool, Device: "a", Bytes: bytes}); err != nil {
			t.Fatal(err)
		}
		l.Loaded(name, bytes)
	}
}

func next(t *testing.T, l *Ledger, pool string, idle ...string) string {
	t.Helper()
	g, ok := l.Next(pool, idle)
	if !ok {
		return ""
	}
	return g.Job + "@" + g.Worker
}

func name(kind string, i int) string { return fmt.Sprint(kind, i) }

func one(total, reserve int64) *Ledger {
	l := New(Policy{})
	l.Open(Device{ID: "a", Total: total, Reserve: reserve})
	return l
}

func TestUrgentFirstThenByArrival(t *testing.T) {
	l := one(100, 0)
	loaded(t, l, 1, "p", "w1", "w2", "w3")
	for _, j := range []Job{{ID: "bulk1", Lane: Bulk}, {ID: "bulk2", Lane: Bulk}, {ID: "urgent", Lane: Interactive}} {
		j.Pool, j.Need = "p", fixed(1)
		l.Wait(j)
	}
	for i, want := range []string{"urgent@w1", "bulk1@w2", "bulk2@w3", ""} {
		if got := next(t, l, "p", []string{"w1", "w2", "w3"}[min(i, 2):]...); got != want {
			t.Errorf("grant %d: %q, want %q", i, got, want)
		}
	}
}

func TestASmallJobOvertakesALargeOneOnlySoOften(t *testing.T) {
	l := New(Policy{Overtakes: [3]int{2, 2, 2}})
	l.Open(Device{ID: "a", Total: 20})
	loaded(t, l, 4, "p", "w1", "w2")
	l.Wait(Job{ID: "first", Pool: "p", Need: fixed(6)})
	next(t, l, "p", "w1")
	l.Wait(Job{ID: "large", Pool: "p", Need: fixed(10)})
	for range 2 {
		l.Wait(Job{ID: "small", Pool: "p", Need: fixed(1)})
		if got := next(t, l, "p", "w2"); got != "small@w2" {
			t.Fatalf("%q", got)
		}
		l.Finish("small")
	}
	l.Wait(Job{ID: "late", Pool: "p", Need: fixed(1)})
	if got := next(t, l, "p", "w2"); got != "" {
		t.Fatalf("%q overtakes a third time", got)
	}
	if why := l.Why("late"); !strings.Contains(why, "large has waited longer") {
		t.Errorf("%q", why)
	}
	l.Finish("first")
	if got := next(t, l, "p", "w1", "w2"); got != "large@w1" {
		t.Fatalf("%q", got)
	}
}

func TestTheSurgeIsKeptOnceForAllJobs(t *testing.T) {
	l := one(20, 0)
	loaded(t, l, 1, "p", "w1", "w2", "w3")
	for _, id := range []string{"a", "b", "c"} {
		l.Wait(Job{ID: id, Pool: "p", Need: tailed(3, 11)})
	}
	if got := next(t, l, "p", "w1") + " " + next(t, l, "p", "w2"); got != "a@w1 b@w2" {
		t.Fatal(got)
	}
	if b := l.Books()[0]; b.Reserved != 6 || b.Surge != 8 || b.Free != 3 {
		t.Errorf("%+v", b)
	}
	if got := next(t, l, "p", "w3"); got != "c@w3" {
		t.Fatalf("%q: %s", got, l.Why("c"))
	}
	l.Using("w1", 1+7) // it takes 4 more than was reserved for it; another may do the same
	if b := l.Books()[0]; b.Reserved != 13 || b.Surge != 8 || b.Free != -4 {
		t.Errorf("%+v", b)
	}
	l.Finish("a")
	if b := l.Books()[0]; b.Reserved != 6 || b.Free != 3 {
		t.Errorf("%+v", b)
	}
}

func TestAJobThatMustBeAloneStaysAlone(t *testing.T) {
	l := one(20, 0)
	loaded(t, l, 1, "p", "w1", "w2")
	l.Wait(Job{ID: "lonely", Pool: "p", Need: fixed(2), Alone: true})
	l.Wait(Job{ID: "other", Pool: "p", Need: fixed(2)})
	if got := next(t, l, "p", "w1", "w2"); got != "lonely@w1" {
		t.Fatal(got)
	}
	if got := next(t, l, "p", "w2"); got != "" {
		t.Fatalf("%s beside a job that must be alone", got)
	}
	if why := l.Why("other"); !strings.Contains(why, "lonely runs there alone") {
		t.Errorf("%q", why)
	}
	l.Finish("lonely")
	if got := next(t, l, "p", "w2"); got != "other@w2" {
		t.Fatal(got)
	}
}

func TestAReturnedJobKeepsItsPlace(t *testing.T) {
	l := one(100, 0)
	loaded(t, l, 1, "p", "w1", "w2")
	for _, id := range []string{"a", "b", "c"} {
		l.Wait(Job{ID: id, Pool: "p", Need: fixed(1)})
	}
	if got := next(t, l, "p", "w1") + " " + next(t, l, "p", "w2"); got != "a@w1 b@w2" {
		t.Fatal(got)
	}
	l.Finish("b")
	if !l.Return("a") || l.Return("a") || l.Return("c") {
		t.Fatal("only a job that runs can be returned")
	}
	l.Wait(Job{ID: "d", Pool: "p", Need: fixed(1)})
	for _, want := range []string{"a@w2", "c@w1", ""} {
		if got := next(t, l, "p", []string{"w1", "w2"}[strings.Count(want, "w2"):]...); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestDegradations(t *testing.T) {
	l := one(20, 0)
	loaded(t, l, 4, "p", "w")
	l.Wait(Job{ID: "half", Pool: "p", Need: fixed(30)})
	g, ok := l.Next("p", []string{"w"})
	if !ok || g.Scale != 0.5 || g.Bytes != 15 {
		t.Errorf("a job that fits only in smaller batches: %+v", g)
	}
	l.Finish("half")
	l.Wait(Job{ID: "giant", Pool: "p", Need: fixed(100)})
	if g, ok := l.Next("p", []string{"w"}); ok {
		t.Errorf("%+v", g)
	}
	if r := l.Impossible("giant"); r == nil || !strings.Contains(r.Reason, "needs 29 B") || l.Why("giant") != r.Reason {
		t.Errorf("%v, %q", r, l.Why("giant"))
	}
	l.Forget("giant")

	l.Strangers("a", 10)
	l.Wait(Job{ID: "squeezed", Pool: "p", Need: fixed(50)})
	if r := l.Impossible("squeezed"); r != nil {
		t.Errorf("strangers may leave: %v", r)
	}
	if why := l.Why("squeezed"); !strings.Contains(why, "10 B of strangers") {
		t.Errorf("%q", why)
	}
	l.Strangers("a", 0)
	if g, ok := l.Next("p", []string{"w"}); !ok || g.Scale != 0.25 {
		t.Errorf("%+v", g)
	}
}

func TestStrangersTakeFromIdleWorkersFirst(t *testing.T) {
	l := one(20, 0)
	loaded(t, l, 4, "p", "w1", "w2", "w3")
	l.Wait(Job{ID: "j", Pool: "p", Need: fixed(2)})
	next(t, l, "p", "w1")
	l.Strangers("a", 10)
	evicted := l.Evict()
	if len(evicted) != 1 || evicted[0].Worker != "w2" || !strings.Contains(evicted[0].Reason, "overbooked by 4 B") {
		t.Fatalf("%+v", evicted)
	}
	l.Wait(Job{ID: "k", Pool: "p", Need: fixed(0)})
	if got := next(t, l, "p", "w2", "w3"); got != "" {
		t.Errorf("%s in spite of the debt", got)
	}
	if err := l.Load(Holder{Name: "w4", Device: "a"}); err == nil || !strings.Contains(err.Error(), "overbooked") {
		t.Errorf("%v", err)
	}
	if again := l.Evict(); len(again) != 0 {
		t.Errorf("named twice: %+v", again)
	}
	l.Gone("w2")
	if got := next(t, l, "p", "w3"); got != "k@w3" {
		t.Errorf("%q; %s", got, l.Why("k"))
	}
	l.Strangers("a", 20)
	l.Finish("k")
	if evicted = l.Evict(); len(evicted) != 1 || evicted[0].Worker != "w3" {
		t.Fatalf("%+v", evicted)
	}
	l.Finish("j")
	if evicted = l.Evict(); len(evicted) != 1 || evicted[0].Worker != "w1" {
		t.Fatalf("%+v", evicted)
	}
}

func TestALargeJobEvictsIdleWorkersOfOthersButNotItsOwn(t *testing.T) {
	l := one(20, 0)
	loaded(t, l, 4, "text", "t1", "t2")
	loaded(t, l, 4, "marker", "m1", "m2")
	l.Wait(Job{ID: "j", Pool: "marker", Need: fixed(9)})
	if got := next(t, l, "marker", "m1", "m2"); got != "" {
		t.Fatal(got)
	}
	evicted := l.Evict()
	if len(evicted) != 2 || evicted[0].Worker != "t1" || evicted[1].Worker != "t2" {
		t.Fatalf("%+v", evicted)
	}
	l.Gone("t1")
	l.Gone("t2")
	if got := next(t, l, "marker", "m1", "m2"); got != "j@m1" {
		t.Fatalf("%q: %s", got, l.Why("j"))
	}
}

func TestIdleWorkersMakeRoomForAJobOfTheirOwnPool(t *testing.T) {
	l := one(20, 0)
	loaded(t, l, 4, "p", "w1", "w2", "w3", "w4")
	l.Wait(Job{ID: "j", Pool: "p", Need: fixed(3)})
	next(t, l, "p", "w1")
	l.Wait(Job{ID: "k", Pool: "p", Need: fixed(5)})
	if got := next(t, l, "p", "w2", "w3", "w4"); got != "" {
		t.Fatal(got)
	}
	evicted := l.Evict()
	if len(evicted) != 1 || evicted[0].Worker != "w2" || !strings.Contains(evicted[0].Reason, "job k needs 5 B and 1 B are free") {
		t.Fatalf("%+v", evicted)
	}
	l.Gone("w2")
	if got := next(t, l, "p", "w3", "w4"); got != "k@w3" {
		t.Fatalf("%q: %s", got, l.Why("k"))
	}
	l.Wait(Job{ID: "m", Pool: "p", Need: fixed(5)})
	if again := l.Evict(); len(again) != 0 {
		t.Errorf("its only worker: %+v", again)
	}
}

// A further worker is worth its memory only where it leaves as much as jobs need of late.
func TestNoMoreWorkersThanCanWorkAtTheSameTime(t *testing.T) {
	l := one(20, 0)
	for i := range 2 {
		loaded(t, l, 4, "p", name("w", i))
		l.Wait(Job{ID: name("j", i), Pool: "p", Need: tailed(2, 6), Resident: 4})
		next(t, l, "p", name("w", i))
	}
	l.Wait(Job{ID: "small", Pool: "p", Need: fixed(0), Resident: 4})
	if h, ok := l.Place("p"); ok {
		t.Errorf("%+v beside two workers on jobs like those of late", h)
	}
	l.Open(Device{ID: "a", Total: 24})
	if h, ok := l.Place("p"); !ok || h.Bytes != 4 {
		t.Errorf("%+v: %s", h, l.Why("small"))
	}
}

func TestAnotherEngineGetsRoomToLoad(t *testing.T) {
	l := one(20, 0)
	loaded(t, l, 9, "text", "t1", "t2")
	l.Wait(Job{ID: "j", Pool: "marker", Need: fixed(3), Resident: 5})
	if _, ok := l.Place("marker"); ok {
		t.Fatal("there is no room yet")
	}
	if evicted := l.Evict(); len(evicted) != 1 || evicted[0].Worker != "t1" {
		t.Fatalf("%+v", evicted)
	}
	l.Gone("t1")
	h, ok := l.Place("marker")
	if !ok || h.Device != "a" || h.Bytes != 5 || h.Headroom != 3 {
		t.Fatalf("%+v", h)
	}
	h.Name = "m"
	if err := l.Load(h); err != nil {
		t.Fatal(err)
	}
	if h, again := l.Place("marker"); again {
		t.Errorf("a second worker for one job: %+v", h)
	}
}

func TestAClosedDeviceIsEmptied(t *testing.T) {
	l := one(20, 0)
	l.Open(Device{ID: "b", Total: 10})
	loaded(t, l, 4, "p", "w1", "w2")
	if err := l.Load(Holder{Name: "server", Device: "a", Bytes: 2, Pinned: true}); err != nil {
		t.Fatal(err)
	}
	l.Wait(Job{ID: "j", Pool: "p", Need: fixed(1)})
	next(t, l, "p", "w1")
	l.Close("a", "lent to ada")
	if e := l.Evict(); len(e) != 2 || e[0].Worker != "w2" || e[1].Worker != "server" {
		t.Errorf("%+v", e)
	}
	l.Wait(Job{ID: "k", Pool: "p", Need: fixed(1), Resident: 4})
	if h, ok := l.Place("p"); !ok || h.Device != "b" {
		t.Errorf("%+v: %s", h, l.Why("k"))
	}
	if why := l.Why("k"); !strings.Contains(why, "closed: lent to ada") {
		t.Errorf("%q", why)
	}
	l.Finish("j")
	if e := l.Evict(); len(e) != 1 || e[0].Worker != "w1" {
		t.Errorf("%+v", e)
	}
	l.Reopen("a")
	if err := l.Load(Holder{Name: "w5", Device: "a"}); err != nil {
		t.Error(err)
	}
}

func TestAJobThatFitsOnlyTheLargeDeviceGoesThere(t *testing.T) {
	l := one(8, 0)
	l.Open(Device{ID: "b", Total: 80})
	loaded(t, l, 4, "p", "w1")
	l.Wait(Job{ID: "j", Pool: "p", Need: fixed(40), Resident: 4})
	if got := next(t, l, "p", "w1"); got != "" {
		t.Fatal(got)
	}
	h, ok := l.Place("p")
	if !ok || h.Device != "b" {
		t.Fatalf("%+v", h)
	}
}

func BenchmarkNext(b *testing.B) {
	l := one(100*gib, 0)
	var idle []string
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		_ = l.Load(Holder{Name: name, Pool: "p", Device: "a", Bytes: gib})
		l.Loaded(name, gib)
		idle = append(idle, name)
	}
	for i := range 16 {
		l.Wait(Job{ID: string(rune('a' + i)), Pool: "p", Need: fixed(90 * gib)})
	}
	for b.Loop() {
		l.Wait(Job{ID: "x", Pool: "p", Need: fixed(gib)})
		l.Next("p", idle)
		l.Finish("x")
	}
}

// Where a device has room for one worker and its job, a worker that was loaded for a job whose turn it is isn't sent away for another pool's: it does the job first. Both
// would be loaded and evicted for each other for ever.
func TestNobodyIsEvictedForAJobWhoseTurnItIsNot(t *testing.T) {
	for _, lanes := range [][2]Lane{{Suspect, Bulk}, {Bulk, Suspect}, {Bulk, Interactive}} {
		l := one(12, 0)
		loaded(t, l, 4, "p", "old")
		l.Wait(Job{ID: "early", Pool: "p", Lane: lanes[1], Need: fixed(8), Resident: 4})
		l.Wait(Job{ID: "first", Pool: "q", Lane: lanes[0], Need: fixed(8), Resident: 4})
		if got := next(t, l, "p", "old"); got != "early@old" {
			t.Fatal(got)
		}
		l.Finish("early")
		if out := l.Evict(); len(out) != 1 || out[0].Worker != "old" {
			t.Fatalf("%v", out)
		}
		l.Wait(Job{ID: "second", Pool: "p", Lane: lanes[1], Need: fixed(8), Resident: 4})
		l.Gone("old")
		loaded(t, l, 4, "q", "new")
		if out := l.Evict(); len(out) != 0 {
			t.Errorf("%v: %v, before it has done what it was loaded for", lanes, out)
		}
		if got := next(t, l, "q", "new"); got != "first@new" {
			t.Errorf("%v: %q", lanes, got)
		}
		l.Finish("first")
		if out := l.Evict(); len(out) != 1 || out[0].Worker != "new" { // now it is the other's turn
			t.Errorf("%v: %v", lanes, out)
		}
	}
}

// A worker that was just loaded does the job that waits for it before it is sent away for one that needs the whole device and isn't due.
func TestALoadedWorkerDoesItsJobBeforeItGoes(t *testing.T) {
	l := one(12, 0)
	loaded(t, l, 4, "q", "new")
	l.Wait(Job{ID: "whole", Pool: "p", Lane: Bulk, Need: fixed(8), Resident: 4})
	l.Wait(Job{ID: "small", Pool: "q", Lane: Suspect, Need: fixed(1), Resident: 4})
	if out := l.Evict(); len(out) != 0 {
		t.Errorf("%v, before it has done anything", out)
	}
	if got := next(t, l, "q", "new"); got != "small@new" {
		t.Errorf("%q", got)
	}
	l.Finish("small")
	if out := l.Evict(); len(out) != 1 || out[0].Worker != "new" {
		t.Errorf("%v: nothing waits for it any more", out)
	}
}
