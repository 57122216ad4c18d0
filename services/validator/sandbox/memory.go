package sandbox

import (
	"sync/atomic"
	"syscall"

	"github.com/tetratelabs/wazero/experimental"
)

// memory gives the sandbox its linear memory: address space for the whole bound at once, of which only what is touched costs anything. Growing never
// copies, so that a document's appetite is never paid twice.
type memory struct {
	bound  int64        // bytes
	denied atomic.Bool  // the sandbox has asked for more than its bound
	size   atomic.Int64 // bytes that the instance has taken, which it never gives back
}

// Allocate implements experimental.MemoryAllocator.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory {
	buf, err := syscall.Mmap(-1, 0, int(m.bound), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		panic("reserve memory for the sandbox: " + err.Error()) // the probe ends; its parent starts another
	}
	return &region{owner: m, buf: buf}
}

type region struct {
	owner *memory
	buf   []byte
}

// Reallocate implements experimental.LinearMemory.
func (r *region) Reallocate(size uint64) []byte {
	if size > uint64(len(r.buf)) {
		r.owner.denied.Store(true)
		return nil
	}
	r.owner.size.Store(int64(size))
	return r.buf[:size:size]
}

// Free implements experimental.LinearMemory.
func (r *region) Free() { _ = syscall.Munmap(r.buf) } // mapped by us, whole
