package kernel

import (
	"fmt"
	"sync/atomic"
)

// job holds the arguments of the multiply or row function that runs on the
// pool, so that its task function needs no closure.
type job struct {
	dst        []float32 // MatMulT
	ldd        int
	a          Operand
	w          *Panels
	lo, hi     int // rows of W
	accumulate bool
	lowT       []LowRankT

	proj   []Projection // Project
	next   [][]LowRank  // shares of the call that follows
	one    [1]Projection
	sums   []float32
	panels int          // of all projections
	unit   int          // 2 where tasks are counted in halves of a panel, else 1
	act    Operand      // ProjectGated
	gated  bool         // tasks take the same panels of two projections, then SwiGLU
	coming []*Panels    // weights of the multiply after this one
	others [][]Span     // by worker: what is read between the two
	bases  int          // tasks that multiply with W
	shares int          // tasks that compute H
	low    int          // pieces of H
	few    bool         // rows: tasks are dealt out to workers
	minima bool         // some of the weights have them
	dealt  lots         // bases
	dealtH lots         // shares
	done   atomic.Int64 // shares that are done

	chunk  int // rows per task
	chunks int // row chunks
	group  int // panels (or column groups) per task

	outer outerArgs
	rows  rowsJob
}

// MatMul computes dst [M, N] = a [M, K] · Wᵀ, or += with accumulate, which
// continues each element's chain from dst. ldd is dst's row stride.
//
// Chains (in order, f32, results below 2^-126 flushed):
//
//	bf16 mode, bf16 weights   per pair of k: acc += x[2j+1]*w[2j+1]; acc += x[2j]*w[2j]
//	bf16 mode, quantised      per block of 32: s = that chain from 0 over the integer
//	                          codes; acc = fma(d, s, acc); with minima also
//	                          acc = fma(m, Σx, acc), Σx the block's sum: 16 lanes
//	                          x[2i+1]+x[2i], then the package's tree (FormatQ6K:
//	                          blocks of 16; FormatNF4: of 64, codes are bf16(NF4))
//	f32 mode, f32 weights     per k: acc = fma(x[k], w[k], acc)
func (x *Exec) MatMul(dst []float32, ldd int, a Operand, w *Panels, accumulate bool) {
	x.pool.mu.Lock()
	defer x.pool.mu.Unlock()
	j := &x.job
	j.one[0] = Projection{Dst: dst, Ldd: ldd, W: w, Accumulate: accumulate}
	x.project(a, j.one[:])
	j.one[0] = Projection{}
}

// checkMul panics unless a's mode fits w's format.
func checkMul(what string, a Operand, w *Panels) {
	a.check(what)
	if (a.Mode == F32) != (w.Format == FormatF32) {
		panic(fmt.Sprintf("kernel: %s: an operand of mode %v does not go with panels of format %v", what, a.Mode, w.Format))
	}
}

// fewRows is the number of rows below which rows are not split.
const fewRows = 48

// split plans the tasks: rows in equal chunks of which a decoded chunk's share
// stays in the second-level cache, and which are long enough to pay for decoding;
// then groups of panels such that a task is worth handing out.
func (x *Exec) split(panels, panelBytes int) {
	const cacheBytes, taskBytes, tasksPerWorker, tallTile = 512 << 10, 64 << 10, 6, 6
	j := &x.job
	m := j.a.Rows
	rowBytes := max(min(j.a.Stride, chunkWide)*2, 1)
	if j.a.Mode == F32 {
		rowBytes *= 2
	}
	j.chunks = (m*rowBytes + cacheBytes - 1) / cacheBytes
	want := tasksPerWorker * x.pool.workers
	if x.pool.workers > 1 {
		j.chunks = max(j.chunks, (want+panels-1)/panels)
	}
	j.chunks = max(min(j.chunks, m/fewRows), 1)
	j.chunk = ((m+j.chunks-1)/j.chunks + tallTile - 1) / tallTile * tallTile
	j.chunks = (m + j.chunk - 1) / j.chunk
	j.group = 1
	if j.chunks == 1 && m < fewRows {
		j.group = min(max(taskBytes/max(panelBytes, 1), 1), max(panels/want, 1))
	}
}

// blockSums fills j.sums [M, K/32] with the sums of a's blocks of 32. The
// memory is kept from call to call and grows to the largest operand seen.
func (x *Exec) blockSums(a Operand) {
	x.job.sums = grown(x.job.sums, a.Rows*(a.Cols/blockK))
	x.rowsRun(rowsJob{kind: kindSums, rows: a.Rows, c: a.Cols, dst: a, out: x.job.sums})
}

// sumRows is blockSums into memory of the caller's, without the pool.
func (x *Exec) sumRows(dst []float32, a Operand) []float32 {
	blocks := a.Cols / blockK
	dst = grown(dst, a.Rows*blocks)
	for r := range a.Rows {
		args := rowArgs{dst: ptr(dst[r*blocks:]), p0: ptr(a.B[r*a.Stride:]), n: a.Cols}
		x.set.rows[opBlockSums](hide(&args))
	}
	return dst
}

// grown is s with n values, which it may forget.
func grown(s []float32, n int) []float32 {
	if cap(s) < n {
		s = make([]float32, n)
	}
	return s[:n]
}
