package ingest

import (
	"encoding/binary"
	"encoding/hex"
	"hash/maphash"
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

// id is what pdf_sources calls an object: half of a SHA-256.
type id [16]byte

func idOf(s document.Source) (x id) {
	_, _ = hex.Decode(x[:], []byte(s.KeyID())) // it is always such a text
	return x
}

// sight is the state of an object that is known, in few bytes, since an inbox may hold a great many. Two states of one object look the same once in 2^64 changes;
// then a listing, or a pass over the folder, misses the second. Who makes such two on purpose misleads nobody but himself, as a version is made with the object's key; and what an event
// tells of is compared in full.
type sight struct {
	version uint64 // the beginning of the state's version, which is a SHA-256
	rough   uint64 // of what a folder tells
}

// seed keeps anybody from choosing sizes and times that look the same.
var seed = maphash.MakeSeed()

func sightOf(s document.Source) sight {
	var version [8]byte
	_, _ = hex.Decode(version[:], []byte(s.Version()[:16])) // it is always such a text
	return sight{binary.BigEndian.Uint64(version[:]), maphash.Comparable(seed, [2]int64{s.Size, s.ModTime.Unix()})}
}

// same compares with a state as it is told of; a folder tells of no ETag (exact is false): size and time must do.
func (x sight) same(told sight, exact bool) bool {
	if exact {
		return x.version == told.version
	}
	return x.rough == told.rough
}

// hinted is a state that is on its way to be taken.
type hinted struct {
	sight
	modTime, until int64 // Unix seconds; until is when the hint stops counting
}

// known is the set of object states that need no hint, one an object. A pass over an inbox asks it, not the server. It is empty while this process looks
// through none: see follow.go.
type known struct {
	mu     sync.RWMutex
	taken  map[id]sight  // as in pdf_sources
	again  map[id]int64  // of those, when a racy one wants its second look: Unix seconds
	hinted map[id]hinted // on their way there
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
	k.taken, k.again, k.hinted = map[id]sight{}, map[id]int64{}, map[id]hinted{}
}

// take notes an entry of pdf_sources.
func (k *known) take(t jet.Taken) {
	seen, key := sightOf(t.Source), idOf(t.Source)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.taken[key] = seen
	delete(k.again, key)
	if t.Racy {
		k.again[key] = settledAt(t).Unix() + 1 // rounded up: too early is for nothing
	}
	if hint, ok := k.hinted[key]; ok && (hint.version == seen.version || hint.modTime <= t.Source.ModTime.Unix()) {
		delete(k.hinted, key)
	}
}

// hint notes that a hint about s was published; round is the second look it asks for, 0 for a first hint. The hint may have been dealt with already.
func (k *known) hint(s document.Source, round int64, now time.Time) {
	seen, key := sightOf(s), idOf(s)
	k.mu.Lock()
	defer k.mu.Unlock()
	was, ok := k.taken[key]
	switch {
	case !ok || was.version != seen.version:
		k.hinted[key] = hinted{seen, s.ModTime.Unix(), now.Add(hintLasts).Unix()}
	case round != 0 && k.again[key] == round:
		delete(k.again, key)
	}
}

// state of an object, as far as hints go.
type state int

const (
	unknown  state = iota // it wants a hint
	settled               // it was taken, or is about to be
	doubtful              // it was taken, and wants a second look
)

// about says whether s wants a hint.
func (k *known) about(s document.Source, exact bool, now time.Time) state {
	seen, key := sightOf(s), idOf(s)
	k.mu.RLock()
	defer k.mu.RUnlock()
	if x, ok := k.taken[key]; ok && x.same(seen, exact) {
		if again, racy := k.again[key]; racy && now.Unix() >= again {
			return doubtful
		}
		return settled
	}
	if x, ok := k.hinted[key]; ok && x.same(seen, exact) && now.Unix() < x.until {
		return settled
	}
	return unknown
}

// round is the time of the second look that s is due for, or 0; it tells that look's hint from the first one.
func (k *known) round(s document.Source, now time.Time) int64 {
	seen, key := sightOf(s), idOf(s)
	k.mu.RLock()
	defer k.mu.RUnlock()
	again := k.again[key]
	if k.taken[key].version != seen.version || now.Unix() < again {
		return 0
	}
	return again
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
