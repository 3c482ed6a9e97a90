//go:build amd64 || arm64

package kernel

import (
	"sync/atomic"
	"unsafe"
)

// spareScratch lends scratch memory to functions that know no worker. Unlike a
// sync.Pool it is not emptied by the garbage collector, so that a step does not
// allocate.
var spareScratch [16]struct {
	s atomic.Pointer[scratch]
	_ [vectorBytes - 8]byte
}

// borrowScratch takes scratch memory, preferably from a slot that other
// goroutines do not use: their stacks lie elsewhere.
func borrowScratch() (s *scratch, slot int) {
	slot = int(uintptr(unsafe.Pointer(&s))>>13) & (len(spareScratch) - 1)
	for i := range spareScratch {
		if s := spareScratch[(slot+i)&(len(spareScratch)-1)].s.Swap(nil); s != nil {
			return s, slot
		}
	}
	fresh := new(scratch)
	fresh.init()
	return fresh, slot
}

func returnScratch(s *scratch, slot int) {
	for i := range spareScratch {
		if spareScratch[(slot+i)&(len(spareScratch)-1)].s.CompareAndSwap(nil, s) {
			return
		}
	}
}
