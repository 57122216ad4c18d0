package ingest

import (
	"encoding/hex"
	"sync"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/jet"
)

const (
	// racyWindow is how long after its modification an object may change again and look the same: stores tell modification times in whole
	// seconds, and a file that is overwritten in place keeps the ETag it had. (Git's index has the same problem, and the same answer.)
	racyWindow = 3 * time.Second
	// hintLasts is how long a hint of our own counts as on its way. It outlasts the broker's memory for ids, so that a second one is not for nothing.
	hintLasts = jet.DedupeWindow + 5*time.Minute
)

// id is 32 hex digits in binary: an inbox may hold a great many objects.
type id [16]byte

func parseID(text string) (x id) {
	_, _ = hex.Decode(x[:], []byte(text)) // KeyID and Version are always such a text
	return x
}

// sight is the state of an object that is known.
type sight struct {
	version       id
	size, modTime int64 // bytes; Unix seconds
	// until is when a hint stops counting, and again when a racy entry wants its second look; Unix seconds, 0: never.
	until, again int64
}

// known is the set of object states that need no hint, one an object. A pass over an inbox asks it, not the server. It is empty while this process looks
// through none: see follow.go.
type known struct {
	mu     sync.RWMutex
	taken  map[id]sight // as in pdf_sources
	hinted map[id]sight // on their way there
}

func newKnown() *known {
	k := &known{}
	k.forget()
	return k
}

// forget gives the memory back as well.
func (k *known) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.taken, k.hinted = map[id]sight{}, map[id]sight{}
}

// sightOf is what a state of an object is recognised by.
func sightOf(s document.Source) sight {
	return sight{version: parseID(s.Version()), size: s.Size, modTime: s.ModTime.Unix()}
}

// take notes an entry of pdf_sources.
func (k *known) take(t jet.Taken) {
	seen := sightOf(t.Source)
	if t.Racy {
		seen.again = settledAt(t).Unix() + 1 // rounded up: too early is for nothing
	}
	key := parseID(t.Source.KeyID())
	k.mu.Lock()
	defer k.mu.Unlock()
	k.taken[key] = seen
	if hint, ok := k.hinted[key]; ok && (hint.version == seen.version || hint.modTime <= seen.modTime) {
		delete(k.hinted, key)
	}
}

// hint notes that a hint about s was published; round is the second look it asks for, 0 for a first hint. The hint may have been dealt with already.
func (k *known) hint(s document.Source, round int64, now time.Time) {
	seen := sightOf(s)
	seen.until = now.Add(hintLasts).Unix()
	key := parseID(s.KeyID())
	k.mu.Lock()
	defer k.mu.Unlock()
	was, ok := k.taken[key]
	switch {
	case !ok || was.version != seen.version:
		k.hinted[key] = seen
	case round != 0 && was.again == round:
		was.again = 0
		k.taken[key] = was
	}
}

// state of an object, as far as hints go.
type state int

const (
	unknown  state = iota // it wants a hint
	settled               // it was taken, or is about to be
	doubtful              // it was taken, and wants a second look
)

// about says whether s wants a hint. A source from a folder has no ETag to compare (exact is false): its size and time must do.
func (k *known) about(s document.Source, exact bool, now time.Time) state {
	seen, key := sightOf(s), parseID(s.KeyID())
	k.mu.RLock()
	defer k.mu.RUnlock()
	same := func(x sight) bool {
		if exact {
			return x.version == seen.version
		}
		return x.size == seen.size && x.modTime == seen.modTime
	}
	if x, ok := k.taken[key]; ok && same(x) {
		if x.again != 0 && now.Unix() >= x.again {
			return doubtful
		}
		return settled
	}
	if x, ok := k.hinted[key]; ok && same(x) && now.Unix() < x.until {
		return settled
	}
	return unknown
}

// round is the time of the second look that s is due for, or 0; it tells that look's hint from the first one.
func (k *known) round(s document.Source, now time.Time) int64 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	x := k.taken[parseID(s.KeyID())]
	if x.version != parseID(s.Version()) || now.Unix() < x.again {
		return 0
	}
	return x.again
}

func (k *known) size() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.taken) + len(k.hinted)
}

// racy says whether an object with this modification time can change after now without being seen to.
func racy(modTime, now time.Time) bool { return now.Sub(modTime).Abs() < racyWindow }

// settledAt is when a racy entry can be looked at for good. A modification time in the future is no reason to wait for it.
func settledAt(t jet.Taken) time.Time { return t.TakenAt.Add(racyWindow) }
