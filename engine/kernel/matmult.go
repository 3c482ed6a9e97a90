package kernel

import "fmt"

// MatMulT computes dst [M, K] = a [M, hi-lo] · W[lo:hi, :], or += with
// accumulate: the gradient of a multiply's left side. lo is a multiple of 64.
//
// Each element is one chain over n in order: in bf16 mode over pairs (n, n+1)
// counted from lo, acc += a[n+1]*w[n+1]; acc += a[n]*w[n], with w the
// dequantised weight rounded to bfloat16; in f32 mode acc = fma(a[n], w[n], acc).
func (x *Exec) MatMulT(dst []float32, ldd int, a Operand, w *Panels, lo, hi int, accumulate bool) {
	checkMul("MatMulT", a, w)
	if lo < 0 || hi < lo || hi > w.N || lo%panelCols != 0 {
		panic(fmt.Sprintf("kernel: MatMulT: rows %d..%d of %d (the first must be a multiple of %d)", lo, hi, w.N, panelCols))
	}
	if a.Cols != hi-lo {
		panic(fmt.Sprintf("kernel: MatMulT: rows of %d values times rows %d..%d of the panels", a.Cols, lo, hi))
	}
	checkDst("MatMulT", dst, ldd, a.Rows, w.K)
	if a.Rows == 0 || w.K == 0 {
		return
	}
	x.pool.mu.Lock()
	defer x.pool.mu.Unlock()
	j := &x.job
	j.dst, j.ldd, j.a, j.w, j.lo, j.hi, j.accumulate = dst, ldd, a, w, lo, hi, accumulate
	groups := (w.K + panelCols - 1) / panelCols
	x.split(groups, panelCols*(hi-lo)*2)
	x.pool.run(j.chunks*((groups+j.group-1)/j.group), x.runMatMulT)
	j.dst, j.a, j.w = nil, Operand{}, nil
}

// matMulTTask computes one chunk of rows of some 64-column groups.
func (x *Exec) matMulTTask(task, worker int) {
	j, s := &x.job, &x.work[worker]
	group, chunk := task/j.chunks, task%j.chunks
	r0 := chunk * j.chunk
	r1 := min(r0+j.chunk, j.a.Rows)
	t := &s.mulT
	*t = panelTTask{ldd: j.ldd, a: j.a.Slice(r0, r1), w: j.w, lo: j.lo, hi: j.hi, accumulate: j.accumulate}
	for g := group * j.group; g < (group+1)*j.group && g*panelCols < j.w.K; g++ {
		t.k0 = g * panelCols
		t.cols = min(panelCols, j.w.K-t.k0)
		t.dst = j.dst[r0*j.ldd+t.k0 : (r1-1)*j.ldd+t.k0+t.cols]
		x.set.panelT(s, t)
	}
	*t = panelTTask{}
}
