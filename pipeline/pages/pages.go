// Package pages is the arithmetic of page ranges: 1-based, inclusive, everywhere.
package pages

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Max bounds a page number in anything parsed from outside: no document may have more pages.
const Max = 1_000_000

// Range is the pages First..Last, 1-based and inclusive.
type Range struct {
	First int `json:"first"`
	Last  int `json:"last"`
}

// Len is the number of pages in r.
func (r Range) Len() int { return r.Last - r.First + 1 }

// Valid reports whether r names at least one page and none beyond Max.
func (r Range) Valid() bool { return r.First >= 1 && r.Last >= r.First && r.Last <= Max }

func (r Range) String() string {
	if r.First == r.Last {
		return strconv.Itoa(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Dir is the range as part of an object key: always both ends, zero-padded so that a listing is in page order.
func (r Range) Dir() string { return fmt.Sprintf("%06d-%06d", r.First, r.Last) }

// ParseDir reads what Dir wrote.
func ParseDir(text string) (Range, error) {
	first, last, _ := strings.Cut(text, "-")
	a, errFirst := strconv.Atoi(first)
	b, errLast := strconv.Atoi(last)
	r := Range{a, b}
	if errFirst != nil || errLast != nil || !r.Valid() {
		return Range{}, fmt.Errorf("%q names no page range", text)
	}
	return r, nil
}

// Split cuts r in two halves; a single page cannot be split and comes back with ok false.
func (r Range) Split() (a, b Range, ok bool) {
	if r.Len() < 2 {
		return r, Range{}, false
	}
	mid := r.First + r.Len()/2 - 1
	return Range{r.First, mid}, Range{mid + 1, r.Last}, true
}

// Set is a set of pages as sorted, disjoint, non-adjacent ranges. The zero Set is empty.
type Set []Range

// Parse reads "1-20,35". An empty text is the empty set, which callers read as "all pages".
func Parse(text string) (Set, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var ranges []Range
	for part := range strings.SplitSeq(text, ",") {
		first, last, both := strings.Cut(strings.TrimSpace(part), "-")
		a, err := strconv.Atoi(strings.TrimSpace(first))
		if err != nil {
			return nil, fmt.Errorf("pages %q: %q is not a page number", text, part)
		}
		b := a
		if both {
			if b, err = strconv.Atoi(strings.TrimSpace(last)); err != nil {
				return nil, fmt.Errorf("pages %q: %q is not a page number", text, part)
			}
		}
		r := Range{a, b}
		if !r.Valid() {
			return nil, fmt.Errorf("pages %q: %q must be FIRST-LAST with 1 ≤ FIRST ≤ LAST ≤ %d", text, part, Max)
		}
		if ranges = append(ranges, r); len(ranges) > 1000 {
			return nil, fmt.Errorf("pages: more than 1000 ranges")
		}
	}
	return Union(ranges...), nil
}

// Union merges ranges into a Set.
func Union(ranges ...Range) Set {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b Range) int { return a.First - b.First })
	var set Set
	for _, r := range sorted {
		if n := len(set); n > 0 && r.First <= set[n-1].Last+1 {
			set[n-1].Last = max(set[n-1].Last, r.Last)
			continue
		}
		set = append(set, r)
	}
	return set
}

// Clip returns the pages of s that a document of total pages has.
func (s Set) Clip(total int) Set {
	var out Set
	for _, r := range s {
		if r.First > total {
			break
		}
		out = append(out, Range{r.First, min(r.Last, total)})
	}
	return out
}

// Subtract returns the pages of s that are not in other.
func (s Set) Subtract(other Set) Set {
	var out Set
	for _, r := range s {
		for _, cut := range other {
			if cut.Last < r.First || r.Last < cut.First {
				continue
			}
			if r.First < cut.First {
				out = append(out, Range{r.First, cut.First - 1})
			}
			r.First = cut.Last + 1
		}
		if r.First <= r.Last {
			out = append(out, r)
		}
	}
	return out
}

// Covers reports whether every page of other is in s.
func (s Set) Covers(other Set) bool {
	for _, want := range other {
		if !slices.ContainsFunc(s, func(have Range) bool { return have.First <= want.First && want.Last <= have.Last }) {
			return false
		}
	}
	return true
}

// Contains reports whether page is in s.
func (s Set) Contains(page int) bool { return s.Covers(Set{{page, page}}) }

// Len is the number of pages in s.
func (s Set) Len() int {
	n := 0
	for _, r := range s {
		n += r.Len()
	}
	return n
}

// Last is the highest page of s, 0 when empty.
func (s Set) Last() int {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].Last
}

func (s Set) String() string {
	parts := make([]string, len(s))
	for i, r := range s {
		parts[i] = r.String()
	}
	return strings.Join(parts, ",")
}

// MarshalText writes the set as "1-20,35".
func (s Set) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Set) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	*s = parsed
	return err
}
