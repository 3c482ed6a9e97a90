package kernel

import (
	"fmt"
	"math"
	"unsafe"
)

// This file holds the steps of attention between its multiplies, on blocks of
// 64 keys. All functions are serial: call them inside Run.

// negInf is below every score.
var negInf = float32(math.Inf(-1))

// blockCols is the number of keys of a block.
const blockCols = 64

// blockFuncs are optional functions of a set; where one is nil, the same
// operations are done with row functions or in plain Go.
type blockFuncs struct {
	softmax, softmaxBack func(*softmaxTask)
	transposeRound       func(dst []uint16, ldd int, src []float32, lds, vectors int)       // 16 rows
	roundRows            func(dst []uint16, ldd int, src []float32, lds, rows, vectors int) // whole vectors
	pairRows             func(dst, src []uint16, lds, pairs, vectors int)
	attend               func(*Attention)                                                        // bf16
	transpose32          func(dst unsafe.Pointer, ldd int, src unsafe.Pointer, lds, vectors int) // 16 rows; strides in bytes
}

// softmaxTask is one call of SoftmaxBlock or SoftmaxBlockBackward.
type softmaxTask struct {
	s, dp         []float32
	p             Operand
	rows, seen    int
	more          int // keys that each row sees more than the one before
	scale         float32
	m, sum, delta []float32
}

func (t *softmaxTask) check(what string) {
	if t.seen < 1 {
		panic(fmt.Sprintf("kernel: %s: the first row sees %d keys, must see at least one", what, t.seen))
	}
	checkLen(what, len(t.s), t.rows*blockCols)
	checkLen(what, len(t.m), t.rows)
	checkLen(what, len(t.sum), t.rows)
}

// SoftmaxBlock turns scores s [rows, 64] of one block of keys into unnormalised
// attention weights. Row i sees the first seen + i*more keys (seen >= 1; more is 1
// for the rows of a head and 0 for the heads of a row); with score = s*scale over those, it sets m[i] = max(m[i], max score), p[i] = exp(score -
// m[i]) rounded to p's mode (keys not seen: 0), and sum[i] = the sum of the
// weights before rounding, in the package's fixed order. s is used up.
func (x *Exec) SoftmaxBlock(p Operand, s []float32, rows, seen, more int, scale float32, m, sum []float32) {
	t := softmaxTask{s: s, p: p, rows: rows, seen: seen, more: more, scale: scale, m: m, sum: sum}
	t.check("SoftmaxBlock")
	p.check("SoftmaxBlock")
	if p.Rows < rows || p.Cols < blockCols {
		panic(fmt.Sprintf("kernel: SoftmaxBlock: weights %d x %d for %d x %d", p.Rows, p.Cols, rows, blockCols))
	}
	if rows == 0 {
		return
	}
	if f := x.set.blocks.softmax; f != nil && p.Mode == BF16 {
		f(hideSoftmax(&t))
		return
	}
	for i := range rows {
		row := t.maskedRow(x, i)
		top := x.MaxRow(row)
		if m[i] > top {
			top = m[i]
		}
		m[i] = top + 0 // -0 becomes 0
		sum[i] = x.ExpSub(row, row, m[i])
	}
	x.RoundRows(p.Slice(0, rows), s, blockCols)
}

// maskedRow scales row i of the scores; keys that it does not see get -Inf.
func (t *softmaxTask) maskedRow(x *Exec, i int) []float32 {
	row := t.s[i*blockCols : (i+1)*blockCols]
	x.Scale(row, t.scale)
	for j := t.seen + i*t.more; j < blockCols; j++ {
		row[j] = negInf
	}
	return row
}

// SoftmaxBlockBackward recomputes a block's normalised weights from its scores
// and turns the weights' gradient into the scores': with the forward's m and
// inv = 1/Σ (over all blocks), per row
//
//	s  = exp(s*scale - m) * inv      the weight w
//	dp = (w * (dp - delta)) * scale  the gradient of q·k
//
// s and dp are [rows, 64]; row i sees the first seen+i keys.
func (x *Exec) SoftmaxBlockBackward(s, dp []float32, rows, seen int, scale float32, m, inv, delta []float32) {
	t := softmaxTask{s: s, dp: dp, rows: rows, seen: seen, more: 1, scale: scale, m: m, sum: inv, delta: delta}
	t.check("SoftmaxBlockBackward")
	checkLen("SoftmaxBlockBackward: dp", len(dp), rows*blockCols)
	checkLen("SoftmaxBlockBackward: delta", len(delta), rows)
	if rows == 0 {
		return
	}
	if f := x.set.blocks.softmaxBack; f != nil {
		f(hideSoftmax(&t))
		return
	}
	for i := range rows {
		row := t.maskedRow(x, i)
		x.ExpSub(row, row, m[i])
		x.Scale(row, inv[i])
		a := rowArgs{dst: ptr(dp[i*blockCols:]), p0: ptr(row), n: blockCols, s0: delta[i], s1: scale}
		x.row(opSoftmaxBack, &a)
	}
}

// hideSoftmax is hide for softmaxTask.
func hideSoftmax(t *softmaxTask) *softmaxTask {
	u := uintptr(unsafe.Pointer(t))
	return *(**softmaxTask)(unsafe.Pointer(&u))
}

// TransposeRound sets dst [cols, rows] to the transpose of src [rows, cols] (row
// stride lds), rounded to dst's mode; cols = dst.Rows, and dst's columns from
// rows on become zero.
func (x *Exec) TransposeRound(dst Operand, src []float32, lds, rows int) {
	dst.check("TransposeRound")
	checkDst("TransposeRound: source", src, lds, rows, dst.Rows)
	if rows > dst.Cols {
		panic(fmt.Sprintf("kernel: TransposeRound: %d rows into %d columns", rows, dst.Cols))
	}
	done := 0 // rows by whole blocks of 16 x 16
	if f := x.set.blocks.transposeRound; f != nil && dst.Mode == BF16 && dst.Rows%laneCols == 0 && dst.Rows > 0 {
		for ; done+laneCols <= rows; done += laneCols {
			f(dst.B[done:], dst.Stride, src[done*lds:], lds, dst.Rows/laneCols)
		}
	}
	for c := range dst.Rows {
		for r := done; r < dst.Cols; r++ {
			var v float32
			if r < rows {
				v = src[r*lds+c]
			}
			if dst.Mode == F32 {
				dst.F[c*dst.Stride+r] = v
			} else {
				dst.B[c*dst.Stride+r] = BF16FromF32(v)
			}
		}
	}
}

// RoundRows is Round without the pool.
func (x *Exec) RoundRows(dst Operand, src []float32, lds int) {
	dst.check("RoundRows")
	checkDst("RoundRows: source", src, lds, dst.Rows, dst.Cols)
	if dst.Rows == 0 || dst.Cols == 0 {
		return
	}
	if f := x.set.blocks.roundRows; f != nil && dst.Mode == BF16 && dst.Cols%laneCols == 0 {
		f(dst.B, dst.Stride, src, lds, dst.Rows, dst.Cols/laneCols)
		return
	}
	j := rowsJob{c: dst.Cols, total: dst.Rows * dst.Cols, dst: dst, p0: src, lds: lds}
	for r := range dst.Rows {
		x.roundRow(&j, r)
	}
}

// PutRows writes rows [n, N] of a to rows slot.. of block b [K, N]: a block by
// position, whose multiply mixes rows (values under attention weights).
func (x *Exec) PutRows(b Block, slot int, a Operand) {
	checkPut("PutRows", b, a, slot+a.Rows <= b.K && a.Cols == b.N)
	if a.Mode == F32 {
		for r := range a.Rows {
			copy(b.F[(slot+r)*b.N:(slot+r+1)*b.N], a.F[r*a.Stride:])
		}
		return
	}
	r := 0
	if f := x.set.blocks.pairRows; f != nil && b.N%laneCols == 0 && b.N > 0 {
		if slot&1 == 1 && a.Rows > 0 {
			putRow(b, slot, a, 0)
			r = 1
		}
		if pairs := (a.Rows - r) / 2; pairs > 0 {
			f(b.B[(slot+r)*b.N:], a.B[r*a.Stride:], a.Stride, pairs, b.N/laneCols)
			r += 2 * pairs
		}
	}
	for ; r < a.Rows; r++ {
		putRow(b, slot+r, a, r)
	}
}

// putRow writes row r of a to row slot of a bf16 block.
func putRow(b Block, slot int, a Operand, r int) {
	dst := b.B[slot/2*2*b.N+slot&1:]
	for c, v := range a.B[r*a.Stride:][:b.N] {
		dst[2*c] = v
	}
}

// PutColumns writes rows [n, K] of a to columns slot.. of block b [K, N]: a
// block by channel, whose multiply gives dot products with the rows (scores).
func (x *Exec) PutColumns(b Block, slot int, a Operand) {
	checkPut("PutColumns", b, a, slot+a.Rows <= b.N && a.Cols == b.K)
	units, size := b.K, 4 // 32-bit units of a row, and their elements' bytes
	src, dst := unsafe.Pointer(unsafe.SliceData(a.F)), unsafe.Pointer(unsafe.SliceData(b.F))
	if a.Mode == BF16 {
		units, size = b.K/2, 2
		src, dst = unsafe.Pointer(unsafe.SliceData(a.B)), unsafe.Pointer(unsafe.SliceData(b.B))
	}
	r := 0
	if f := x.set.blocks.transpose32; f != nil && units%laneCols == 0 && units > 0 {
		for ; r+laneCols <= a.Rows; r += laneCols {
			f(unsafe.Add(dst, (slot+r)*4), b.N*4, unsafe.Add(src, r*a.Stride*size), a.Stride*size, units/laneCols)
		}
	}
	for ; r < a.Rows; r++ {
		if a.Mode == F32 {
			for c, v := range a.F[r*a.Stride:][:b.K] {
				b.F[c*b.N+slot+r] = v
			}
			continue
		}
		row := a.B[r*a.Stride:][:b.K]
		for c := 0; c < b.K; c += 2 {
			at := c*b.N + 2*(slot+r)
			b.B[at], b.B[at+1] = row[c], row[c+1]
		}
	}
}

func checkPut(what string, b Block, a Operand, fits bool) {
	a.check(what)
	n := len(b.B)
	if b.Mode == F32 {
		n = len(b.F)
	}
	if a.Mode != b.Mode || !fits || n < b.K*b.N || (b.Mode == BF16 && b.K&1 != 0) {
		panic(fmt.Sprintf("kernel: %s: %v rows %d x %d do not fit a %v block of %d x %d (%d values)", what, a.Mode, a.Rows, a.Cols, b.Mode, b.K, b.N, n))
	}
}

// HeadDots sets dst [heads] to the sums, over each of a row's heads of d values, of
// v[i] * o[r][i], in the package's fixed order; o has heads * d columns.
func (x *Exec) HeadDots(dst, v []float32, o Operand, r, d int) {
	if d < 1 || o.Cols%d != 0 || r < 0 || r >= o.Rows {
		panic(fmt.Sprintf("kernel: HeadDots: heads of %d in row %d of %d x %d", d, r, o.Rows, o.Cols))
	}
	heads := o.Cols / d
	checkLen("HeadDots", len(v), o.Cols)
	checkLen("HeadDots: destination", len(dst), heads)
	if f := x.set.dots; f != nil && o.Mode == BF16 && d%laneCols == 0 && heads > 0 {
		a := ropeArgs{dst: ptr(dst), src: ptr(v), cos: ptr(o.B[r*o.Stride:][:o.Cols]), heads: heads, vectors: d / laneCols}
		f(hideRope(&a))
		return
	}
	for h := range heads {
		if o.Mode == F32 {
			dst[h] = x.Dot(v[h*d:(h+1)*d], o.F[r*o.Stride+h*d:][:d])
		} else {
			dst[h] = x.dotBF16(v[h*d:(h+1)*d], o.B[r*o.Stride+h*d:][:d])
		}
	}
}

func (x *Exec) dotBF16(v []float32, b []uint16) float32 {
	var lanes [16]float32
	whole := len(b) &^ 15
	a := rowArgs{p0: ptr(v), p1: ptr(b), n: whole, lanes: &lanes}
	if whole > 0 {
		x.set.rows[opDotBF16](hide(&a))
	}
	for i, w := range b[whole:] {
		lanes[i] = fma32(v[whole+i], F32FromBF16(w), lanes[i])
	}
	return addTree16(&lanes)
}
