package kernel

import "fmt"

// Arena hands out parts of one piece of memory, which is offered huge pages: a
// step walks hundreds of megabytes by columns, and with 4 KiB pages much of its
// time would go into finding where they are. It is ordinary memory of the
// garbage collector, freed when no part is used any more.
type Arena struct{ free []byte }

// NewArena allocates memory for parts of that many bytes in all, counted by
// ArenaBytes.
func NewArena(bytes int64) *Arena {
	b := alignedBytes(int(bytes))
	adviseHuge(b)
	return &Arena{free: b}
}

// ArenaBytes is what a part of n bytes takes of an arena.
func ArenaBytes(n int64) int64 { return (n + vectorBytes - 1) &^ (vectorBytes - 1) }

// take returns the next n bytes.
func (a *Arena) take(n int) []byte {
	size := int(ArenaBytes(int64(n)))
	if size > len(a.free) {
		panic(fmt.Sprintf("kernel: arena: %d bytes wanted, %d left", n, len(a.free)))
	}
	b := a.free[:n:n]
	a.free = a.free[size:]
	return b
}

// F32 returns n zeros.
func (a *Arena) F32(n int) []float32 { return asF32(a.take(4 * n)) }

// Operand returns a zeroed operand, as NewOperand does.
func (a *Arena) Operand(mode Mode, rows, cols int) Operand {
	o := Operand{Mode: mode, Rows: rows, Cols: cols, Stride: (cols + 1) &^ 1}
	if mode == F32 {
		o.F = a.F32(rows * o.Stride)
	} else {
		o.B = asU16(a.take(2 * rows * o.Stride))
	}
	return o
}
