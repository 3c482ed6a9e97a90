package kernel

import (
	"fmt"
	"math"
)

// rowsJob holds the arguments of the elementwise function that runs on the pool.
type rowsJob struct {
	kind               rowsKind
	rows, c, total     int // total: see flatten
	dst, dst2          Operand
	out                []float32
	p0, p1, p2, weight []float32
	rstd               []float32
	lds                int
	keep               []float32 // kindNorm: a copy of p0; may be nil
	eps, scale         float32
	per                int // rows (or vectors) per task
}

type rowsKind uint8

const (
	kindNorm rowsKind = iota
	kindNormBack
	kindSwiGLU
	kindSwiGLUBack
	kindAdd
	kindRound
	kindSums
	kindScaleRound
	kindWiden
)

// rowsTask is the pool's task function for all of them.
func (x *Exec) rowsTask(task, _ int) {
	j := &x.job.rows
	for r := task * j.per; r < min((task+1)*j.per, j.rows); r++ {
		switch j.kind {
		case kindNorm:
			x.normRow(j, r)
		case kindNormBack:
			x.normBackRow(j, r)
		case kindSwiGLU:
			x.swiGLURow(j, r)
		case kindSwiGLUBack:
			x.swiGLUBackRow(j, r)
		case kindAdd:
			lo, hi := r*j.c, min((r+1)*j.c, len(j.p0))
			a := rowArgs{dst: ptr(j.out[lo:hi]), p0: ptr(j.p0[lo:hi]), n: hi - lo}
			x.row(opAdd, &a)
		case kindRound:
			x.roundRow(j, r)
		case kindScaleRound:
			x.Scale(j.p0[r*j.lds:][:j.width(r)], j.scale)
			x.roundRow(j, r)
		case kindWiden:
			x.widenRow(j, r)
		case kindSums:
			blocks := j.c / blockK
			a := rowArgs{dst: ptr(j.out[r*blocks:]), p0: ptr(j.dst.B[r*j.dst.Stride:]), n: j.c}
			x.set.rows[opBlockSums](hide(&a))
		}
	}
}

const taskValues = 8 << 10 // values of a task: worth handing out

// flatten views a matrix without gaps between its rows as long rows, the last
// one shorter: a narrow matrix is not walked in short ones.
func (j *rowsJob) flatten() {
	j.total = j.rows * j.c
	if j.dst.Stride == j.c && j.lds == j.c {
		j.rows, j.c, j.lds, j.dst.Stride = (j.total+taskValues-1)/taskValues, taskValues, taskValues, taskValues
	}
}

// width is the number of values of row r.
func (j *rowsJob) width(r int) int { return min(j.c, j.total-r*j.c) }

// rowsRun splits j's rows over the pool; a task handles at least some
// thousands of values. The caller holds the pool.
func (x *Exec) rowsRun(j rowsJob) {
	if j.rows == 0 || j.c == 0 {
		return
	}
	j.per = max(1, min(taskValues/j.c, j.rows/x.pool.workers))
	x.job.rows = j
	x.pool.watch.rowsOf(&x.job.rows)
	x.pool.run((j.rows+j.per-1)/j.per, x.runRows)
	x.job.rows = rowsJob{}
}

func (x *Exec) rowsLocked(j rowsJob) {
	x.pool.mu.Lock()
	defer x.pool.mu.Unlock()
	x.rowsRun(j)
}

// checkRows panics unless dst is [rows, c] and holds that.
func checkRows(what string, dst Operand, rows, c int) {
	dst.check(what)
	if dst.Rows < rows || dst.Cols != c {
		panic(fmt.Sprintf("kernel: %s: destination %d x %d for %d x %d", what, dst.Rows, dst.Cols, rows, c))
	}
}

// RMSNorm sets dst [rows, c] to src * rstd * weight, rounded to dst's mode, with
// rstd[r] = 1/sqrt(mean(src[r]²) + eps), which is also stored (the backward
// pass reads it).
func (x *Exec) RMSNorm(dst Operand, rstd []float32, src []float32, weight []float32, eps float32, rows, c int) {
	checkRows("RMSNorm", dst, rows, c)
	checkLen("RMSNorm: rstd", len(rstd), rows)
	checkLen("RMSNorm: source", len(src), rows*c)
	checkLen("RMSNorm: weight", len(weight), c)
	x.rowsLocked(rowsJob{kind: kindNorm, rows: rows, c: c, dst: dst, p0: src, weight: weight, rstd: rstd, eps: eps})
}

// RMSNormKeep is RMSNorm that also copies src to keep [rows, c], for a backward
// pass after src has changed; a nil keep is not wanted.
func (x *Exec) RMSNormKeep(dst Operand, rstd, keep []float32, src []float32, weight []float32, eps float32, rows, c int) {
	checkRows("RMSNormKeep", dst, rows, c)
	checkLen("RMSNormKeep: rstd", len(rstd), rows)
	if keep != nil {
		checkLen("RMSNormKeep: keep", len(keep), rows*c)
	}
	checkLen("RMSNormKeep: source", len(src), rows*c)
	checkLen("RMSNormKeep: weight", len(weight), c)
	x.rowsLocked(rowsJob{kind: kindNorm, rows: rows, c: c, dst: dst, p0: src, weight: weight, rstd: rstd, keep: keep, eps: eps})
}

func (x *Exec) normRow(j *rowsJob, r int) {
	src := j.p0[r*j.c : (r+1)*j.c]
	if j.keep != nil {
		copy(j.keep[r*j.c:], src)
	}
	mean := float64(x.Dot(src, src)) / float64(j.c)
	j.rstd[r] = float32(1 / math.Sqrt(mean+float64(j.eps)))
	a := rowArgs{p0: ptr(src), p1: ptr(j.weight), n: j.c, s0: j.rstd[r]}
	if j.dst.Mode == F32 {
		a.dst = ptr(j.dst.F[r*j.dst.Stride:])
		x.row(opNorm, &a)
		return
	}
	a.dst = ptr(j.dst.B[r*j.dst.Stride:])
	x.row(opNormBF16, &a)
}

// RMSNormBackward adds the gradient of RMSNorm's source to dx [rows, c]:
// forward: y = x * rstd * w, so with t = dy * w
// dx += t * rstd - x * rstd³ * mean(t * x).
func (x *Exec) RMSNormBackward(dx []float32, dy []float32, src, weight, rstd []float32, rows, c int) {
	checkLen("RMSNormBackward: dx", len(dx), rows*c)
	checkLen("RMSNormBackward: dy", len(dy), rows*c)
	checkLen("RMSNormBackward: source", len(src), rows*c)
	checkLen("RMSNormBackward: weight", len(weight), c)
	checkLen("RMSNormBackward: rstd", len(rstd), rows)
	x.rowsLocked(rowsJob{kind: kindNormBack, rows: rows, c: c, out: dx, p0: dy, p1: src, weight: weight, rstd: rstd})
}

func (x *Exec) normBackRow(j *rowsJob, r int) {
	lo, hi := r*j.c, (r+1)*j.c
	var lanes [16]float32
	a := rowArgs{dst: ptr(j.out[lo:hi]), p0: ptr(j.p0[lo:hi]), p1: ptr(j.weight), p2: ptr(j.p1[lo:hi]), n: j.c, lanes: &lanes}
	x.row(opDot3, &a)
	s := float64(addTree16(&lanes)) / float64(j.c)
	rstd := float64(j.rstd[r])
	a.s0, a.s1 = j.rstd[r], float32(float64(float64(rstd*rstd)*rstd)*s)
	x.row(opNormBack, &a)
}

// SwiGLU sets dst [rows, c] to silu(gate) * up, rounded to dst's mode;
// silu(g) = g / (1 + exp(-g)).
func (x *Exec) SwiGLU(dst Operand, gate, up []float32, rows, c int) {
	checkRows("SwiGLU", dst, rows, c)
	checkLen("SwiGLU: gate", len(gate), rows*c)
	checkLen("SwiGLU: up", len(up), rows*c)
	x.rowsLocked(rowsJob{kind: kindSwiGLU, rows: rows, c: c, dst: dst, p0: gate, p1: up})
}

func (x *Exec) swiGLURow(j *rowsJob, r int) {
	x.swiGLU(&j.dst, r, 0, j.p0[r*j.c:(r+1)*j.c], j.p1[r*j.c:])
}

// swiGLU sets row r of dst from column c on.
func (x *Exec) swiGLU(dst *Operand, r, c int, gate, up []float32) {
	a := rowArgs{p0: ptr(gate), p1: ptr(up[:len(gate)]), n: len(gate)}
	if dst.Mode == F32 {
		a.dst = ptr(dst.F[r*dst.Stride+c:])
		x.row(opSwiGLU, &a)
		return
	}
	a.dst = ptr(dst.B[r*dst.Stride+c:])
	x.row(opSwiGLUBF16, &a)
}

// SwiGLUBackward sets dgate and dup [rows, c], rounded to their mode, to the
// gradients of SwiGLU; forward: act = silu(gate) * up. With s = sigmoid(gate):
// dup = dact * gate * s, dgate = dact * up * (s + gate * s * (1-s)).
func (x *Exec) SwiGLUBackward(dgate, dup Operand, dact []float32, gate, up []float32, rows, c int) {
	checkRows("SwiGLUBackward: dgate", dgate, rows, c)
	checkRows("SwiGLUBackward: dup", dup, rows, c)
	if dgate.Mode != dup.Mode {
		panic("kernel: SwiGLUBackward: dgate and dup have different modes")
	}
	checkLen("SwiGLUBackward: dact", len(dact), rows*c)
	checkLen("SwiGLUBackward: gate", len(gate), rows*c)
	checkLen("SwiGLUBackward: up", len(up), rows*c)
	x.rowsLocked(rowsJob{kind: kindSwiGLUBack, rows: rows, c: c, dst: dgate, dst2: dup, p0: gate, p1: up, p2: dact})
}

func (x *Exec) swiGLUBackRow(j *rowsJob, r int) {
	lo, hi := r*j.c, (r+1)*j.c
	a := rowArgs{p0: ptr(j.p0[lo:hi]), p1: ptr(j.p1[lo:hi]), p2: ptr(j.p2[lo:hi]), n: j.c}
	if j.dst.Mode == F32 {
		a.dst, a.dst2 = ptr(j.dst.F[r*j.dst.Stride:]), ptr(j.dst2.F[r*j.dst2.Stride:])
		x.row(opSwiGLUBack, &a)
		return
	}
	a.dst, a.dst2 = ptr(j.dst.B[r*j.dst.Stride:]), ptr(j.dst2.B[r*j.dst2.Stride:])
	x.row(opSwiGLUBackBF16, &a)
}

// Add adds src to dst.
func (x *Exec) Add(dst, src []float32) {
	const piece = 4 << 10
	checkLen("Add", len(dst), len(src))
	x.rowsLocked(rowsJob{kind: kindAdd, rows: (len(src) + piece - 1) / piece, c: piece, out: dst, p0: src})
}

// Round sets dst [Rows, Cols] to src (row stride lds), rounded to dst's mode:
// bfloat16 to nearest even, or copied.
func (x *Exec) Round(dst Operand, src []float32, lds int) {
	dst.check("Round")
	checkDst("Round: source", src, lds, dst.Rows, dst.Cols)
	j := rowsJob{kind: kindRound, rows: dst.Rows, c: dst.Cols, dst: dst, p0: src, lds: lds}
	j.flatten()
	x.rowsLocked(j)
}

// ScaleRound multiplies src [Rows, Cols], without gaps, by scale, and sets dst to
// the products, rounded to its mode.
func (x *Exec) ScaleRound(dst Operand, src []float32, scale float32) {
	dst.check("ScaleRound")
	checkLen("ScaleRound", len(src), dst.Rows*dst.Cols)
	j := rowsJob{kind: kindScaleRound, rows: dst.Rows, c: dst.Cols, dst: dst, p0: src, lds: dst.Cols, scale: scale}
	j.flatten()
	x.rowsLocked(j)
}

func (x *Exec) roundRow(j *rowsJob, r int) {
	src := j.p0[r*j.lds:][:j.width(r)]
	if j.dst.Mode == F32 {
		copy(j.dst.F[r*j.dst.Stride:], src)
		return
	}
	a := rowArgs{dst: ptr(j.dst.B[r*j.dst.Stride:]), p0: ptr(src), n: len(src)}
	x.row(opRound, &a)
}

// Widen sets dst [Rows, Cols], without gaps, to an operand's values.
func (x *Exec) Widen(dst []float32, o Operand) {
	o.check("Widen")
	checkLen("Widen", len(dst), o.Rows*o.Cols)
	j := rowsJob{kind: kindWiden, rows: o.Rows, c: o.Cols, dst: o, out: dst, lds: o.Cols}
	j.flatten()
	x.rowsLocked(j)
}

func (x *Exec) widenRow(j *rowsJob, r int) {
	n := j.width(r)
	dst := j.out[r*j.lds:][:n]
	if j.dst.Mode == F32 {
		copy(dst, j.dst.F[r*j.dst.Stride:])
		return
	}
	src := j.dst.B[r*j.dst.Stride:][:n]
	whole := n &^ (laneCols - 1)
	if whole > 0 {
		a := rowArgs{dst: ptr(dst), p0: ptr(src), n: whole}
		x.set.rows[opWiden](hide(&a))
	}
	for i := whole; i < n; i++ {
		dst[i] = F32FromBF16(src[i])
	}
}
