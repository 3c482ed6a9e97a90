package kernel

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// neonArgs are the arguments of a NEON tile, which reads them by offset. Strides
// are in bytes.
type neonArgs struct {
	c      unsafe.Pointer // destination, f32
	ldc    int
	a      unsafe.Pointer // left side: bf16 or f32
	lda    int
	b      unsafe.Pointer // right side, f32, 256 bytes from k to k for a bf16 left side
	ldb    int            // from k to k, for an f32 left side
	k      int            // values of k, or blocks of 32 for quantised panels
	scale  unsafe.Pointer // f16 scales of the first block, minima 128 bytes on
	lds    int            // from block to block
	sums   unsafe.Pointer // row 0's sum of the first block
	ldsums int            // from row to row
	zero   int            // not 0: start from zero instead of c
	work   unsafe.Pointer // the tile's c while it is not yet final
}

// unpackArgs are the arguments of the functions that unpack weights.
type unpackArgs struct {
	dst, src unsafe.Pointer
	scales   unsafe.Pointer
	count    int // blocks, pairs or groups
	stride   int // bytes of src from one to the next (of a group: from row to row)
	vectors  int
	minus    int // subtracted from four-bit codes
}

// archScratch holds the argument blocks of assembly: not on the stack, because
// the functions are called through pointers.
type archScratch struct {
	neon   neonArgs
	unpack unpackArgs
	tiles  neonJob
	work   [6 * laneCols]float32 // as large as the largest tile
}

// The NEON set: f32 multiply-adds on the instructions of every ARMv8-A CPU.
var neon = &set{
	name: "neon", uses: "NEON, f32 multiply-adds",
	panel: neonPanel, panelT: neonPanelT, block: neonBlock, outer: neonOuterAccum,
	blocks: blockFuncs{pairRows: neonPairs},
	rows:   neonRowTable(),
}

func archEntries() []entry {
	return []entry{{set: neon, missing: func() string {
		if cpu.ARM64.HasASIMD {
			return ""
		}
		return "ASIMD"
	}}}
}

// hideNeon is hide for tile arguments.
func hideNeon(a *neonArgs) *neonArgs {
	u := uintptr(unsafe.Pointer(a))
	return *(**neonArgs)(unsafe.Pointer(&u))
}

// neonPairs is PutRows' interleaving of bf16 rows.
func neonPairs(dst, src []uint16, lds, pairs, vectors int) {
	neonPairRows(&unpackArgs{dst: ptr(dst), src: ptr(src), stride: lds * 2, count: pairs, vectors: vectors})
}
