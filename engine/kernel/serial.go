package kernel

import (
	"fmt"
	"math"
)

// The functions of this file are serial: they use no pool and may be called
// inside Run.

func checkLen(what string, got, want int) {
	if got < want {
		panic(fmt.Sprintf("kernel: %s: %d values where %d are needed", what, got, want))
	}
}

// Exp sets dst to exp(src), element by element: below -87.3 zero, above 88.72
// infinity. The error is below 2 units in the last place.
func (x *Exec) Exp(dst, src []float32) {
	checkLen("Exp", len(dst), len(src))
	a := rowArgs{dst: ptr(dst), p0: ptr(src), n: len(src)}
	x.row(opExp, &a)
}

// MaxRow is the largest value of src; -Inf if src is empty.
func (x *Exec) MaxRow(src []float32) float32 {
	var lanes [16]float32
	for i := range lanes {
		lanes[i] = float32(math.Inf(-1))
	}
	a := rowArgs{p0: ptr(src), n: len(src), lanes: &lanes}
	x.row(opMax, &a)
	m := lanes[0]
	for _, v := range lanes[1:] {
		if v > m {
			m = v
		}
	}
	return m
}

// ExpSub sets dst to exp(src-max), element by element, and returns the sum of
// dst in the package's fixed order.
func (x *Exec) ExpSub(dst, src []float32, max float32) (sum float32) {
	checkLen("ExpSub", len(dst), len(src))
	var lanes [16]float32
	a := rowArgs{dst: ptr(dst), p0: ptr(src), n: len(src), s0: max, lanes: &lanes}
	x.row(opExpSub, &a)
	return addTree16(&lanes)
}

// Scale multiplies dst by s.
func (x *Exec) Scale(dst []float32, s float32) {
	a := rowArgs{dst: ptr(dst), n: len(dst), s0: s}
	x.row(opScale, &a)
}

// ScaleRows multiplies each row of dst [len(f), cols], without gaps, by its factor.
func (x *Exec) ScaleRows(dst []float32, cols int, f []float32) {
	checkLen("ScaleRows", len(dst), cols*len(f))
	if k := x.set.scaleRows; k != nil && cols%laneCols == 0 && cols > 0 && len(f) > 0 {
		a := ropeArgs{dst: ptr(dst), src: ptr(f), heads: len(f), vectors: cols / laneCols}
		k(hideRope(&a))
		return
	}
	for r, s := range f {
		x.Scale(dst[r*cols:(r+1)*cols], s)
	}
}

// Axpy adds s times src to dst, each element one fused multiply-add.
func (x *Exec) Axpy(dst []float32, s float32, src []float32) {
	checkLen("Axpy", len(dst), len(src))
	a := rowArgs{dst: ptr(dst), p0: ptr(src), n: len(src), s0: s}
	x.row(opAxpy, &a)
}

// Dot is the sum of a[i]*b[i] in the package's fixed order.
func (x *Exec) Dot(a, b []float32) float32 {
	checkLen("Dot", len(b), len(a))
	var lanes [16]float32
	args := rowArgs{p0: ptr(a), p1: ptr(b), n: len(a), lanes: &lanes}
	x.row(opDot, &args)
	return addTree16(&lanes)
}

// ExpScale sets row r of dst to exp(src-sub) * scale, rounded to dst's mode: the
// gradient of a log-sum-exp.
func (x *Exec) ExpScale(dst Operand, r int, src []float32, sub, scale float32) {
	row := dst.Slice(r, r+1)
	row.check("ExpScale")
	checkLen("ExpScale", len(src), row.Cols)
	a := rowArgs{p0: ptr(src), n: row.Cols, s0: sub, s1: scale}
	if row.Mode == F32 {
		a.dst = ptr(row.F)
		x.row(opExpScale, &a)
		return
	}
	a.dst = ptr(row.B)
	x.row(opExpScaleBF16, &a)
}
