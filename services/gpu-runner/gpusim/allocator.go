package gpusim

import "slices"

const (
	granule      = 2 << 20  // what the driver maps at once
	segmentBytes = 20 << 20 // the least that is taken from the device for a large block
)

// allocator is the caching allocator of one process, as in PyTorch: memory is taken from the device in segments, cut into blocks, and kept when blocks
// are freed. take asks the device for more, give hands back.
type allocator struct {
	take       func(bytes int64) bool
	give       func(bytes int64)
	expandable bool // one segment that grows and shrinks in granules

	segments      []*segment
	blocks        map[int]*block
	next          int
	allocated     int64
	reserved      int64
	peakAllocated int64
	peakReserved  int64
}

type segment struct {
	size   int64
	blocks []*block // in order of their places; without gaps
}

type block struct {
	in   *segment
	size int64
	free bool
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

// cached finds the smallest free block that is large enough, and cuts it.
func (a *allocator) cached(size int64) *block {
	var best *block
	for _, s := range a.segments {
		for _, b := range s.blocks {
			if b.free && b.size >= size && (best == nil || b.size < best.size) {
				best = b
			}
		}
	}
	if best != nil {
		a.cut(best, size)
	}
	return best
}

func (a *allocator) cut(b *block, size int64) {
	if rest := b.size - size; rest > 0 {
		at := slices.Index(b.in.blocks, b)
		b.in.blocks = slices.Insert(b.in.blocks, at+1, &block{in: b.in, size: rest, free: true})
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
	s := &segment{size: bytes}
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
	if n := len(s.blocks); n > 0 && s.blocks[n-1].free {
		last = s.blocks[n-1]
	}
	missing := size
	if last != nil {
		missing -= last.size
	}
	bytes := roundUp(missing, granule)
	if !a.take(bytes) {
		return nil
	}
	a.reserved += bytes
	s.size += bytes
	if last == nil {
		last = &block{in: s, free: true}
		s.blocks = append(s.blocks, last)
	}
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
		if s.blocks[i].free && s.blocks[i+1].free {
			s.blocks[i].size += s.blocks[i+1].size
			s.blocks = slices.Delete(s.blocks, i+1, i+2)
			continue
		}
		i++
	}
}

// emptyCache gives back what nothing is in: whole segments, or, where segments are expandable, free granules.
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

// unmap drops the whole granules of free blocks. Where in the address space they were is of no consequence.
func (a *allocator) unmap(s *segment) {
	for _, b := range s.blocks {
		if bytes := b.size / granule * granule; b.free && bytes > 0 {
			b.size -= bytes
			s.size -= bytes
			a.reserved -= bytes
			a.give(bytes)
		}
	}
	s.blocks = slices.DeleteFunc(s.blocks, func(b *block) bool { return b.free && b.size == 0 })
}
