package gpusim

import "slices"

const (
	granule      = 2 << 20  // what the driver maps at once
	segmentBytes = 20 << 20 // the least that is taken from the device for a large block
	pageBytes    = 20 << 20 // what an expandable segment maps and unmaps at once
)

// allocator is the caching allocator of one process, as in PyTorch: memory is taken from the device in segments, cut into blocks, and kept when blocks
// are freed. take asks the device for more, give hands back.
type allocator struct {
	take       func(bytes int64) bool
	give       func(bytes int64)
	expandable bool // one segment that grows and shrinks in pages

	segments      []*segment
	blocks        map[int]*block
	next          int
	allocated     int64
	reserved      int64
	peakAllocated int64
	peakReserved  int64
}

type segment struct {
	size   int64    // that is mapped
	end    int64    // address
	blocks []*block // in order of their addresses; gaps between them are not mapped
}

type block struct {
	in          *segment
	start, size int64 // start is an address in the segment
	free        bool
}

func newAllocator(expandable bool, take func(int64) bool, give func(int64)) *allocator {
	return &allocator{take: take, give: give, expandable: expandable, blocks: map[int]*block{}}
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

// alloc returns a handle, or reports false when the device has no room, also after everything cached was given back.
func (a *allocator) alloc(bytes int64) (int, bool) {
	size := roundUp(max(bytes, 1), 512)
	b := a.cached(size)
	if b == nil {
		if b = a.fresh(size); b == nil {
			a.emptyCache()
			if b = a.fresh(size); b == nil {
				return 0, false
			}
		}
	}
	b.free = false
	a.next++
	a.blocks[a.next] = b
	a.allocated += b.size
	a.peakAllocated, a.peakReserved = max(a.peakAllocated, a.allocated), max(a.peakReserved, a.reserved)
	return a.next, true
}

// has reports whether so much can be had without the device.
func (a *allocator) has(bytes int64) bool { return a.fitting(roundUp(max(bytes, 1), 512)) != nil }

// cached finds the smallest free block that is large enough, and cuts it.
func (a *allocator) cached(size int64) *block {
	best := a.fitting(size)
	if best != nil {
		a.cut(best, size)
	}
	return best
}

func (a *allocator) fitting(size int64) (best *block) {
	for _, s := range a.segments {
		for _, b := range s.blocks {
			if b.free && b.size >= size && (best == nil || b.size < best.size) {
				best = b
			}
		}
	}
	return best
}

func (a *allocator) cut(b *block, size int64) {
	if rest := b.size - size; rest > 0 {
		at := slices.Index(b.in.blocks, b)
		b.in.blocks = slices.Insert(b.in.blocks, at+1, &block{in: b.in, start: b.start + size, size: rest, free: true})
		b.size = size
	}
}

// fresh takes memory from the device.
func (a *allocator) fresh(size int64) *block {
	if a.expandable {
		return a.grow(size)
	}
	bytes := roundUp(max(size, segmentBytes), granule)
	if !a.take(bytes) {
		return nil
	}
	a.reserved += bytes
	s := &segment{size: bytes, end: bytes}
	b := &block{in: s, size: bytes, free: true}
	s.blocks = []*block{b}
	a.segments = append(a.segments, s)
	a.cut(b, size)
	return b
}

// grow makes the one segment longer, by what its free end lacks.
func (a *allocator) grow(size int64) *block {
	if len(a.segments) == 0 {
		a.segments = []*segment{{}}
	}
	s := a.segments[0]
	var last *block
	if n := len(s.blocks); n > 0 && s.blocks[n-1].free && s.blocks[n-1].start+s.blocks[n-1].size == s.end {
		last = s.blocks[n-1]
	}
	missing := size
	if last != nil {
		missing -= last.size
	}
	bytes := roundUp(missing, pageBytes)
	if !a.take(bytes) {
		return nil
	}
	a.reserved += bytes
	if last == nil {
		last = &block{in: s, start: s.end, free: true}
		s.blocks = append(s.blocks, last)
	}
	s.size += bytes
	s.end += bytes
	last.size += bytes
	a.cut(last, size)
	return last
}

func (a *allocator) release(handle int) bool {
	b := a.blocks[handle]
	if b == nil {
		return false
	}
	delete(a.blocks, handle)
	b.free = true
	a.allocated -= b.size
	b.in.merge()
	return true
}

// merge joins free neighbours. Blocks of different segments are never neighbours: that is what fragmentation is.
func (s *segment) merge() {
	for i := 0; i+1 < len(s.blocks); {
		if a, b := s.blocks[i], s.blocks[i+1]; a.free && b.free && a.start+a.size == b.start {
			s.blocks[i].size += s.blocks[i+1].size
			s.blocks = slices.Delete(s.blocks, i+1, i+2)
			continue
		}
		i++
	}
}

// emptyCache gives back what nothing is in: whole segments, or, where segments are expandable, free pages.
func (a *allocator) emptyCache() {
	var kept []*segment
	for _, s := range a.segments {
		if a.expandable {
			a.unmap(s)
		}
		if len(s.blocks) == 0 || (len(s.blocks) == 1 && s.blocks[0].free) {
			a.give(s.size)
			a.reserved -= s.size
			continue
		}
		kept = append(kept, s)
	}
	a.segments = kept
}

// unmap drops the whole pages of free blocks; what a block has of a page that it shares with another stays.
func (a *allocator) unmap(s *segment) {
	var kept []*block
	for _, b := range s.blocks {
		first, end := roundUp(b.start, pageBytes), b.start+b.size
		last := end / pageBytes * pageBytes
		if !b.free || last <= first {
			kept = append(kept, b)
			continue
		}
		s.size -= last - first
		a.reserved -= last - first
		a.give(last - first)
		for _, rest := range []*block{{in: s, start: b.start, size: first - b.start, free: true}, {in: s, start: last, size: end - last, free: true}} {
			if rest.size > 0 {
				kept = append(kept, rest)
			}
		}
	}
	s.blocks = kept
}
