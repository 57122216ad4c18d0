// Package mutant damages PDFs the way the world does, and a little worse: it knows enough of their structure to break what matters. For tests and fuzzing.
package mutant

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
)

// Of returns a damaged copy of a document. The same seed does the same damage.
func Of(document []byte, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, uint64(len(document))))
	out := bytes.Clone(document)
	for range 1 + r.IntN(3) {
		out = damages[r.IntN(len(damages))](out, r)
	}
	return out
}

// MaxGrowth is how many bytes a mutant is longer than its document at most.
const MaxGrowth = 3 * (64 << 10)

var damages = []func([]byte, *rand.Rand) []byte{
	truncate, zero, flip, junkBefore, junkWithin, wrongNumber, wrongReference, wrongName, loseWord, doubleObject, swapObjects, wrongLength, wrongFilter, loseTail,
}

var (
	numbers    = regexp.MustCompile(`\d{1,10}`)
	references = regexp.MustCompile(`\d{1,7} \d{1,5} R\b`)
	objects    = regexp.MustCompile(`(?s)\d{1,7} \d{1,5} obj\b.{0,1000}?endobj`)
	words      = regexp.MustCompile(`endobj|endstream|stream|xref|trailer|startxref|%%EOF|>>|<<|\]|\[|obj`)
	keys       = regexp.MustCompile(`/(Type|Pages|Kids|Count|Root|Contents|Parent|Resources|MediaBox|Filter|Length|Size|Prev|Index|W|First|N)\b`)
	lengths    = regexp.MustCompile(`/Length \d+`)
	filters    = regexp.MustCompile(`/(FlateDecode|DCTDecode|LZWDecode|ASCII85Decode|RunLengthDecode)\b`)

	extremes = []string{"0", "-1", "1", "2147483647", "4294967296", "99999999999999999999", "1e308", "0.0000001"}
	names    = []string{"/Type", "/Pages", "/Kids", "/Count", "/Root", "/Contents", "/XObject", "/Encrypt", "/ObjStm", "/Nothing"}
)

func truncate(b []byte, r *rand.Rand) []byte {
	return b[:r.IntN(len(b)+1)]
}

func loseTail(b []byte, r *rand.Rand) []byte {
	return b[:max(0, len(b)-1-r.IntN(2048))]
}

func zero(b []byte, r *rand.Rand) []byte {
	if len(b) > 0 {
		at := r.IntN(len(b))
		clear(b[at:min(len(b), at+1+r.IntN(4096))])
	}
	return b
}

func flip(b []byte, r *rand.Rand) []byte {
	for range 1 + r.IntN(16) {
		if len(b) > 0 {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
	}
	return b
}

func junk(r *rand.Rand, most int) []byte {
	out := make([]byte, 1+r.IntN(most))
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

func junkBefore(b []byte, r *rand.Rand) []byte {
	return append(junk(r, 4096), b...)
}

func junkWithin(b []byte, r *rand.Rand) []byte {
	at := r.IntN(len(b) + 1)
	return splice(b, at, at, junk(r, 256))
}

// splice replaces b[from:to].
func splice(b []byte, from, to int, with []byte) []byte {
	return append(append(bytes.Clone(b[:from]), with...), b[to:]...)
}

// replace puts something else in the place of one match, if there is one.
func replace(b []byte, r *rand.Rand, what *regexp.Regexp, with func(old []byte) []byte) []byte {
	found := what.FindAllIndex(b, 2000)
	if len(found) == 0 {
		return b
	}
	at := found[r.IntN(len(found))]
	return splice(b, at[0], at[1], with(b[at[0]:at[1]]))
}

func one(r *rand.Rand, of []string) []byte { return []byte(of[r.IntN(len(of))]) }

func wrongNumber(b []byte, r *rand.Rand) []byte {
	return replace(b, r, numbers, func([]byte) []byte { return one(r, extremes) })
}

func wrongReference(b []byte, r *rand.Rand) []byte {
	return replace(b, r, references, func([]byte) []byte { return fmt.Appendf(nil, "%d 0 R", r.IntN(40)) })
}

func wrongName(b []byte, r *rand.Rand) []byte {
	return replace(b, r, keys, func([]byte) []byte { return one(r, names) })
}

func loseWord(b []byte, r *rand.Rand) []byte {
	return replace(b, r, words, func([]byte) []byte { return nil })
}

func wrongLength(b []byte, r *rand.Rand) []byte {
	return replace(b, r, lengths, func([]byte) []byte { return append([]byte("/Length "), one(r, extremes)...) })
}

func wrongFilter(b []byte, r *rand.Rand) []byte {
	return replace(b, r, filters, func(old []byte) []byte { return append([]byte("["), append(bytes.Repeat(old, 1+r.IntN(4)), ']')...) })
}

func doubleObject(b []byte, r *rand.Rand) []byte {
	found := objects.FindAll(b, 2000)
	if len(found) == 0 {
		return b
	}
	copied := bytes.Clone(found[r.IntN(len(found))])
	at := objects.FindAllIndex(b, 2000)[r.IntN(len(found))]
	return splice(b, at[0], at[0], append(copied, '\n'))
}

func swapObjects(b []byte, r *rand.Rand) []byte {
	found := objects.FindAllIndex(b, 2000)
	if len(found) < 2 {
		return b
	}
	i := r.IntN(len(found) - 1)
	first, second := found[i], found[i+1]
	middle := append(append(bytes.Clone(b[second[0]:second[1]]), b[first[1]:second[0]]...), b[first[0]:first[1]]...)
	return splice(b, first[0], second[1], middle)
}
