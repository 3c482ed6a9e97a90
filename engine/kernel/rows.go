package kernel

import (
	"math"
	"unsafe"
)

// rowShape says which pointers of a rowOp are used and how wide they are, so
// that the last n mod 16 values can be done in padded copies.
type rowShape struct {
	sources  int  // f32 rows p0, p1, p2
	dst      int  // bytes per value of dst (and dst2); 0: none
	dst2     bool // dst2 is used
	readsDst bool // dst is read before it is written
	padLow   bool // copies are filled up with -Inf instead of 0
}

var rowShapes = [numRowOps]rowShape{
	opDot:            {sources: 2},
	opDot3:           {sources: 3},
	opMax:            {sources: 1, padLow: true},
	opAdd:            {sources: 1, dst: 4, readsDst: true},
	opScale:          {dst: 4, readsDst: true},
	opAxpy:           {sources: 1, dst: 4, readsDst: true},
	opExp:            {sources: 1, dst: 4},
	opExpSub:         {sources: 1, dst: 4, padLow: true},
	opNorm:           {sources: 2, dst: 4},
	opNormBF16:       {sources: 2, dst: 2},
	opNormBack:       {sources: 3, dst: 4, readsDst: true},
	opSwiGLU:         {sources: 2, dst: 4},
	opSwiGLUBF16:     {sources: 2, dst: 2},
	opSwiGLUBack:     {sources: 3, dst: 4, dst2: true},
	opSwiGLUBackBF16: {sources: 3, dst: 2, dst2: true},
	opSoftmaxBack:    {sources: 1, dst: 4, readsDst: true},
	opRound:          {sources: 1, dst: 2},
	opExpScale:       {sources: 1, dst: 4},
	opExpScaleBF16:   {sources: 1, dst: 2},
}

// row runs op on any n: whole vectors in place, the rest in padded copies.
func (x *Exec) row(op rowOp, a *rowArgs) {
	n := a.n
	if whole := n &^ 15; whole > 0 {
		a.n = whole
		x.set.rows[op](hide(a))
	}
	if n&15 != 0 {
		x.rowTail(op, a, n&^15, n&15)
	}
	a.n = n
}

// rowTail runs op on count (< 16) values from index at.
func (x *Exec) rowTail(op rowOp, a *rowArgs, at, count int) {
	var src [3][16]float32
	var out [2][16]float32 // bf16 results use the first half
	shape := &rowShapes[op]
	t := rowArgs{dst: unsafe.Pointer(&out[0]), dst2: unsafe.Pointer(&out[1]),
		p0: unsafe.Pointer(&src[0]), p1: unsafe.Pointer(&src[1]), p2: unsafe.Pointer(&src[2]),
		n: 16, s0: a.s0, s1: a.s1, lanes: a.lanes}
	if shape.padLow {
		for i := range src[0] {
			src[0][i] = float32(math.Inf(-1))
		}
	}
	for i, p := range [3]unsafe.Pointer{a.p0, a.p1, a.p2} {
		if i < shape.sources {
			copy(src[i][:], f32At(p, at+count)[at:])
		}
	}
	if shape.readsDst {
		copy(out[0][:], f32At(a.dst, at+count)[at:])
	}
	x.set.rows[op](hide(&t))
	for i, p := range [2]unsafe.Pointer{a.dst, a.dst2} {
		switch {
		case shape.dst == 0 || (i == 1 && !shape.dst2):
		case shape.dst == 4:
			copy(f32At(p, at+count)[at:], out[i][:])
		default:
			copy(u16At(p, at+count)[at:], u16At(unsafe.Pointer(&out[i]), 16))
		}
	}
}
