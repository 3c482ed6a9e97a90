package kernel

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Packed weights live in mapped memory that is offered huge pages: a decoding
// step streams all of them once, and a 4 KiB page costs a translation for every
// few blocks. Large panels get a mapping of their own; the many small ones (a
// layer's projections, adapters) are cut from slabs.
const (
	hugePage = 2 << 20
	slabSize = 4 * hugePage
	ownFrom  = slabSize / 4 // bytes from which panels are mapped alone
	slabFrom = 4 << 10      // below, Go's heap will do
)

// slab is a mapping that several panels share. It is unmapped when all are gone.
type slab struct {
	mem  []byte
	used int
	refs int // panels that live, and one while the slab is being filled
}

var slabs struct {
	sync.Mutex
	filling *slab
}

// weightMemory is what holds some weights: nothing to free, a mapping or a share of a slab.
type weightMemory struct {
	own  []byte
	slab *slab
}

// weightBytes allocates n zeroed bytes for packed weights, on a 64-byte boundary.
func weightBytes(n int) ([]byte, weightMemory) {
	switch {
	case n >= ownFrom:
		if m := mapHuge(n); m != nil {
			return m[:n:n], weightMemory{own: m}
		}
	case n >= slabFrom:
		if b, s := fromSlab(n); b != nil {
			return b, weightMemory{slab: s}
		}
	}
	return alignedBytes(n), weightMemory{}
}

// free gives back memory of weightBytes.
func (w weightMemory) free() {
	if w.own != nil {
		_ = unix.Munmap(w.own)
	}
	if w.slab != nil {
		slabs.Lock()
		defer slabs.Unlock()
		w.slab.drop()
	}
}

// fromSlab cuts n bytes from the slab that is being filled, or from a new one.
func fromSlab(n int) ([]byte, *slab) {
	slabs.Lock()
	defer slabs.Unlock()
	s := slabs.filling
	if s == nil || s.used+n > len(s.mem) {
		m := mapHuge(slabSize)
		if m == nil {
			return nil, nil
		}
		if s != nil {
			s.drop()
		}
		s = &slab{mem: m, refs: 1}
		slabs.filling = s
	}
	b := s.mem[s.used : s.used+n : s.used+n]
	s.used += (n + vectorBytes - 1) &^ (vectorBytes - 1)
	s.refs++
	return b, s
}

// drop takes one reference away. The caller holds slabs.
func (s *slab) drop() {
	if s.refs--; s.refs == 0 {
		_ = unix.Munmap(s.mem)
	}
}

// mapHuge maps at least n zeroed bytes; nil if the system refuses.
func mapHuge(n int) []byte {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // a hint: without it only speed is lost
	return b
}

// adviseHuge offers huge pages to the whole pages of b, memory of Go's heap.
func adviseHuge(b []byte) {
	const page = 4 << 10
	if len(b) < hugePage {
		return
	}
	head := int(-uintptr(unsafe.Pointer(&b[0])) & (page - 1))
	_ = unix.Madvise(b[head:head+(len(b)-head)&^(page-1)], unix.MADV_HUGEPAGE) // a hint
}
