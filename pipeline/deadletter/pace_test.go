package deadletter

import (
	"testing"
	"time"
)

func TestPaceSpreadsEvenlyWithoutBursts(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := NewPace(4)
	for i, step := range []struct{ now, want time.Duration }{
		{0, 0},
		{0, 250 * time.Millisecond},
		{250 * time.Millisecond, 250 * time.Millisecond},
		{10 * time.Second, 0},
		{10 * time.Second, 250 * time.Millisecond}, // a pause is not made up for
	} {
		if got := p.delay(start.Add(step.now)); got != step.want {
			t.Errorf("step %d: waits %s, want %s", i, got, step.want)
		}
	}
	free := NewPace(0)
	for range 3 {
		if got := free.delay(start); got != 0 {
			t.Errorf("no limit, yet it waits %s", got)
		}
	}
}

func TestCauseIsTheSameForTheSameKind(t *testing.T) {
	for _, pair := range [][2]string{
		{`page 7 needs 12.5 GiB`, `page 1234 needs 3 GiB`},
		{`open "a.pdf": a password is needed`, `open "b c.pdf": a password is needed`},
		{`worker 3f2a9c killed`, `worker 00ff1e killed`},
	} {
		if a, b := cause(pair[0]), cause(pair[1]); a != b {
			t.Errorf("%q and %q differ", a, b)
		}
	}
	if text := "it can't be read: nobody doesn't know"; cause(text) != text {
		t.Errorf("apostrophes taken for quotes: %s", cause(text))
	}
	if cause("a password is needed") == cause("the file is empty") {
		t.Error("different causes are one")
	}
}
