package kernel

// outerCols is the width of a task of OuterAccum, outerRows its height: all rows
// of a usual rank, so that a piece of the right side is read from far once.
const outerCols, outerRows = 48, 64

// OuterAccum adds the gradient of an adapter matrix: dst[i, c] += Σ_t a[t, i] *
// b[t, c] for i < r; a is [T, r] f32 with row stride lda, b is [T, C] (bfloat16
// values are widened), dst is [r, C] with row stride ldd. Each element is one
// chain acc = fma(a, b, acc) over t in order, continued from dst.
func (x *Exec) OuterAccum(dst []float32, ldd int, a []float32, lda, r int, b Operand) {
	b.check("OuterAccum")
	checkDst("OuterAccum", dst, ldd, r, b.Cols)
	checkDst("OuterAccum: left side", a, lda, b.Rows, r)
	if b.Rows == 0 || b.Cols == 0 || r == 0 {
		return
	}
	x.pool.mu.Lock()
	defer x.pool.mu.Unlock()
	x.job.outer = outerArgs{dst: dst, ldd: ldd, a: a, lda: lda, r: r, b: b}
	x.pool.run((b.Cols+outerCols-1)/outerCols*((r+outerRows-1)/outerRows), x.runOuter)
	x.job.outer = outerArgs{}
}

func (x *Exec) outerTask(task, worker int) {
	o, t := &x.job.outer, &x.work[worker].outer
	tall := (o.r + outerRows - 1) / outerRows
	c0, r0 := task/tall*outerCols, task%tall*outerRows
	*t = *o
	t.r = min(outerRows, o.r-r0)
	t.dst = o.dst[r0*o.ldd+c0:]
	t.a = o.a[r0:]
	t.b.Cols = min(outerCols, o.b.Cols-c0)
	if t.b.Mode == F32 {
		t.b.F = o.b.F[c0:]
	} else {
		t.b.B = o.b.B[c0:]
	}
	x.set.outer(t)
	*t = outerArgs{}
}
