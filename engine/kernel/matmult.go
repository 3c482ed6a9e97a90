package kernel

import "fmt"

// MatMulT computes dst [M, K] = a [M, hi-lo] · W[lo:hi, :], or += with
// accumulate: the gradient of a multiply's left side. lo is a multiple of 64.
//
// Each element is one chain over n in order: in bf16 mode over pairs (n, n+1)
// counted from lo, acc += a[n+1]*w[n+1]; acc += a[n]*w[n], with w the
// dequantised weight rounded to bfloat16; in f32 mode acc = fma(a[n], w[n], acc).
func (x *Exec) MatMulT(dst []float32, ldd int, a Operand, w *Panels, lo, hi int, accumulate bool) {
	x.MatMulTLow(dst, ldd, a, w, lo, hi, accumulate, nil)
}

// LowRankT is an adapter's part of rows Lo..Hi of a gradient: the chain of dst
// continues over the rows of A, dst += H A.
type LowRankT struct {
	Lo, Hi int
	H      Operand // [Hi-Lo, R]
	A      *Panels // [R, K]
}

// MatMulTLow is MatMulT, and then the low-rank parts of some rows, while the
// results are near.
func (x *Exec) MatMulTLow(dst []float32, ldd int, a Operand, w *Panels, lo, hi int, accumulate bool, low []LowRankT) {
	checkMul("MatMulT", a, w)
	if lo < 0 || hi < lo || hi > w.N || lo%panelCols != 0 {
		panic(fmt.Sprintf("kernel: MatMulT: rows %d..%d of %d (the first must be a multiple of %d)", lo, hi, w.N, panelCols))
	}
	if a.Cols != hi-lo {
		panic(fmt.Sprintf("kernel: MatMulT: rows of %d values times rows %d..%d of the panels", a.Cols, lo, hi))
	}
	checkDst("MatMulT", dst, ldd, a.Rows, w.K)
	for i := range low {
		l := &low[i]
		checkMul("MatMulT: low rank", l.H, l.A)
		if l.Lo < 0 || l.Hi < l.Lo || l.Hi > a.Rows || l.H.Rows != l.Hi-l.Lo || l.H.Cols != l.A.N || l.A.K != w.K {
			panic(fmt.Sprintf("kernel: MatMulT: rows %d..%d of %d take H %d x %d and A %d x %d (%d columns expected)",
				l.Lo, l.Hi, a.Rows, l.H.Rows, l.H.Cols, l.A.N, l.A.K, w.K))
		}
	}
	if a.Rows == 0 || w.K == 0 {
		return
	}
	x.pool.mu.Lock()
	defer x.pool.mu.Unlock()
	j := &x.job
	j.dst, j.ldd, j.a, j.w, j.lo, j.hi, j.accumulate = dst, ldd, a, w, lo, hi, accumulate
	j.lowT = low
	groups := (w.K + panelCols - 1) / panelCols
	x.split(groups, panelCols*(hi-lo)*2)
	x.pool.run(j.chunks*((groups+j.group-1)/j.group), x.runMatMulT)
	j.dst, j.a, j.w, j.lowT = nil, Operand{}, nil, nil
}

// matMulTTask computes one chunk of rows of some 64-column groups.
func (x *Exec) matMulTTask(task, worker int) {
	j, s := &x.job, &x.work[worker]
	group, chunk := task/j.chunks, task%j.chunks
	r0 := chunk * j.chunk
	r1 := min(r0+j.chunk, j.a.Rows)
	for g := group * j.group; g < (group+1)*j.group && g*panelCols < j.w.K; g++ {
		x.gradientRows(s, j.a, j.w, 0, r0, r1, j.lo, j.hi, g, j.accumulate)
		for i := range j.lowT {
			l := &j.lowT[i]
			if from, to := max(r0, l.Lo), min(r1, l.Hi); from < to {
				x.gradientRows(s, l.H, l.A, l.Lo, from, to, 0, l.A.N, g, true)
			}
		}
	}
}

// gradientRows multiplies rows r0..r1, of which a has those from first on, with
// rows lo..hi of w, for the 64 columns of group g.
func (x *Exec) gradientRows(s *scratch, a Operand, w *Panels, first, r0, r1, lo, hi, g int, accumulate bool) {
	j, t, k0 := &x.job, &s.mulT, g*panelCols
	*t = panelTTask{ldd: j.ldd, a: a.Slice(r0-first, r1-first), w: w, lo: lo, hi: hi, k0: k0, cols: min(panelCols, w.K-k0), accumulate: accumulate}
	t.dst = j.dst[r0*j.ldd+k0 : (r1-1)*j.ldd+k0+t.cols]
	x.set.panelT(s, t)
	*t = panelTTask{}
}
