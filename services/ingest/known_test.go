package ingest

import (
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/jet"
)

func TestWhatIsKnown(t *testing.T) {
	now := time.Unix(1_800_000_000, 500_000_000)
	at := func(d time.Duration) time.Time { return now.Add(d) }
	s := document.Source{Bucket: "inbox", Key: "a.pdf", ETag: "e", Size: 1, ModTime: now.Truncate(time.Second)}
	other := s
	other.ETag = "f"
	larger, later := s, s
	larger.Size++
	later.ModTime = at(time.Second)
	k := newKnown()
	expect := func(what string, s document.Source, exact bool, when time.Time, want state) {
		t.Helper()
		if got := k.about(s, exact, when); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	expect("never seen", s, true, now, unknown)
	k.hint(s, 0, now)
	expect("hinted", s, true, now, settled)
	expect("hinted, another ETag", other, true, now, unknown)
	expect("hinted, from a folder, which has no ETags", other, false, now, settled)
	expect("hinted so long ago that it may be lost", s, true, at(hintLasts+time.Second), unknown)

	taken := jet.Taken{Source: s, Job: "j", TakenAt: now, Racy: true}
	k.take(taken)
	k.hint(s, 0, now) // the note of a first hint that was dealt with at once is no second look
	expect("taken", s, true, at(racyWindow), settled)
	expect("another size, from a folder", larger, false, now, unknown)
	expect("another time, from a folder", later, false, now, unknown)
	due := at(racyWindow + time.Second)
	if due.Before(settledAt(taken)) {
		t.Error("due before the handler thinks so")
	}
	expect("taken in haste, later", s, true, due, doubtful)
	expect("the same from a folder", other, false, due, doubtful)
	round := k.round(s, due)
	if round == 0 || k.round(s, now) != 0 || k.round(other, due) != 0 {
		t.Errorf("rounds %d, %d, %d", round, k.round(s, now), k.round(other, due))
	}
	k.hint(s, round, due)
	expect("the second look is under way", s, true, due, settled)
	taken.Racy = false
	k.take(taken)
	expect("looked at twice", s, true, at(time.Hour), settled)
	expect("another state", other, true, now, unknown)
}
