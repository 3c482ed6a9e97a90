package kernel

import (
	"fmt"
	"unsafe"
)

// Mode is the precision of multiply operands.
type Mode uint8

// The modes. BF16 rounds the left-hand sides of multiplies to bfloat16 and
// accumulates in float32; F32 keeps everything in float32.
const (
	BF16 Mode = iota
	F32
)

func (m Mode) String() string {
	if m == F32 {
		return "f32"
	}
	return "bf16"
}

// Operand is the left side of a multiply: [Rows, Cols], row-major, Stride >=
// Cols elements from row to row. Stride is even: where Cols is odd, the
// element after a row is a zero that completes the last pair. In BF16 mode the
// values are bfloat16 bits in B, in F32 mode they are in F.
type Operand struct {
	Mode               Mode
	Rows, Cols, Stride int
	B                  []uint16
	F                  []float32
}

// NewOperand allocates a zeroed operand [rows, cols].
func NewOperand(mode Mode, rows, cols int) Operand {
	if rows < 0 || cols < 0 {
		panic(fmt.Sprintf("kernel: operand of %d x %d", rows, cols))
	}
	o := Operand{Mode: mode, Rows: rows, Cols: cols, Stride: (cols + 1) &^ 1}
	if mode == F32 {
		o.F = alignedF32(rows * o.Stride)
	} else {
		o.B = alignedU16(rows * o.Stride)
	}
	return o
}

// Overlay returns an operand [rows, cols] whose row r takes the memory of row r of
// f, [rows, cols] f32 with an even cols: values may be rounded in place, from
// the first column to the last.
func Overlay(mode Mode, f []float32, rows, cols int) Operand {
	o := Operand{Mode: mode, Rows: rows, Cols: cols, Stride: cols}
	if mode == F32 {
		o.F = f
	} else {
		o.Stride = 2 * cols
		o.B = unsafe.Slice((*uint16)(ptr(f)), 2*len(f))
	}
	o.check("Overlay")
	return o
}

// Slice returns rows lo..hi; the memory is shared.
func (o Operand) Slice(lo, hi int) Operand {
	if lo < 0 || hi < lo || hi > o.Rows {
		panic(fmt.Sprintf("kernel: rows %d..%d of an operand with %d rows", lo, hi, o.Rows))
	}
	o.Rows = hi - lo
	// The last row of a larger operand's columns may end before a full stride.
	if o.Mode == F32 {
		o.F = o.F[min(lo*o.Stride, len(o.F)):min(hi*o.Stride, len(o.F))]
	} else {
		o.B = o.B[min(lo*o.Stride, len(o.B)):min(hi*o.Stride, len(o.B))]
	}
	return o
}

// Bytes is the memory that the operand's values take.
func (o Operand) Bytes() int64 { return int64(len(o.B))*2 + int64(len(o.F))*4 }

// row32 widens row r (Cols values) into dst. For oracles and slow paths.
func (o Operand) row32(r int, dst []float32) {
	if o.Mode == F32 {
		copy(dst[:o.Cols], o.F[r*o.Stride:])
		return
	}
	for i := range o.Cols {
		dst[i] = F32FromBF16(o.B[r*o.Stride+i])
	}
}

// check panics unless the operand's memory holds its shape.
func (o Operand) check(what string) {
	n := len(o.B)
	if o.Mode == F32 {
		n = len(o.F)
	}
	if o.Rows < 0 || o.Cols < 0 || o.Stride < o.Cols || o.Stride&1 != 0 {
		panic(fmt.Sprintf("kernel: %s: operand %d x %d with stride %d (must be even and at least the columns)", what, o.Rows, o.Cols, o.Stride))
	}
	if need := (o.Rows-1)*o.Stride + (o.Cols+1)&^1; o.Rows > 0 && n < need {
		panic(fmt.Sprintf("kernel: %s: %s operand %d x %d stride %d holds %d values, needs %d", what, o.Mode, o.Rows, o.Cols, o.Stride, n, need))
	}
}

// checkDst panics unless dst holds rows x cols with row stride ldd.
func checkDst(what string, dst []float32, ldd, rows, cols int) {
	if rows == 0 || cols == 0 {
		return
	}
	if ldd < cols {
		panic(fmt.Sprintf("kernel: %s: row stride %d is less than %d columns", what, ldd, cols))
	}
	if need := (rows-1)*ldd + cols; len(dst) < need {
		panic(fmt.Sprintf("kernel: %s: destination holds %d values, %d x %d with stride %d needs %d", what, len(dst), rows, cols, ldd, need))
	}
}
