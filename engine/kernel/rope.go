package kernel

import (
	"fmt"
	"unsafe"
)

// ropeArgs are the arguments of a rope function: some heads of one row, each of
// two halves of vectors x 16 values, cos and sin of one half. Assembly reads
// them by offset.
type ropeArgs struct {
	dst, src unsafe.Pointer // dst may be src if it is f32
	cos, sin unsafe.Pointer
	heads    int
	vectors  int
	sign     float32
	_        float32
}

// Rope turns the heads of one row by its position's angles (Su et al. 2021,
// arXiv 2104.09864, in Hugging Face's pairing of channel i with i + D/2): cos and
// sin are [D/2], src is [heads * D], and row r of dst becomes, rounded to its
// mode,
//
//	x' = x cos - y sign sin;  y' = y cos + x sign sin
//
// with x and y a head's halves and every operation rounded on its own. Sign is 1,
// or -1 to turn back. An f32 dst may be src itself. Serial.
func (x *Exec) Rope(dst Operand, r int, src, cos, sin []float32, sign float32) {
	half := len(cos)
	if len(sin) != half || half == 0 || dst.Cols%(2*half) != 0 {
		panic(fmt.Sprintf("kernel: Rope: %d cosines and %d sines for a row of %d", half, len(sin), dst.Cols))
	}
	checkLen("Rope", len(src), dst.Cols)
	if r < 0 || r >= dst.Rows {
		panic(fmt.Sprintf("kernel: Rope: row %d of %d", r, dst.Rows))
	}
	a := ropeArgs{src: ptr(src), cos: ptr(cos), sin: ptr(sin), heads: dst.Cols / (2 * half), vectors: half / laneCols, sign: sign}
	f := x.set.rope[dst.Mode]
	switch {
	case f == nil || half%laneCols != 0:
		portableRope(dst.Slice(r, r+1), src, cos, sin, sign)
		return
	case dst.Mode == F32:
		a.dst = ptr(dst.F[r*dst.Stride:][:dst.Cols])
	default:
		a.dst = ptr(dst.B[r*dst.Stride:][:dst.Cols])
	}
	if a.heads > 0 {
		f(hideRope(&a))
	}
}

// portableRope is the reference of the sets' rope functions.
func portableRope(row Operand, src, cos, sin []float32, sign float32) {
	half := len(cos)
	put := func(i int, v float32) {
		if row.Mode == F32 {
			row.F[i] = v
		} else {
			row.B[i] = BF16FromF32(v)
		}
	}
	for h := 0; h < row.Cols; h += 2 * half {
		for i, c := range cos {
			s, a, b := mul32(sign, sin[i]), src[h+i], src[h+half+i]
			put(h+i, sub32(mul32(a, c), mul32(b, s)))
			put(h+half+i, add32(mul32(b, c), mul32(a, s)))
		}
	}
}

// hideRope is hide for ropeArgs.
func hideRope(a *ropeArgs) *ropeArgs {
	u := uintptr(unsafe.Pointer(a))
	return *(**ropeArgs)(unsafe.Pointer(&u))
}
