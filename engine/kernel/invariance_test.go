package kernel

import (
	"fmt"
	"testing"
)

// Law 2: a row's result does not depend on its neighbours, the threads, or how
// the columns and the reduction were cut.
func TestMatMulInvariance(t *testing.T) {
	for _, set := range availableSets() {
		one, two := execFor(t, set, 1), execFor(t, set, 2)
		for _, f := range allFormats {
			r := newRand(11)
			const m, n = 61, 300
			k := wholeUnits(f, 448)
			a, w := randOperand(r, modeOf(f), m, k), randPanels(r, f, n, k)
			whole := make([]float32, m*n)
			one.MatMul(whole, n, a, w, false)
			what := fmt.Sprintf("%s %v", set, f)

			got := make([]float32, m*n)
			two.MatMul(got, n, a, w, false)
			wantBits(t, what+": two threads", got, whole)

			for lo := 0; lo < m; { // batches of 1, 2, 3, ...
				hi := min(m, lo+1+lo/3)
				part := make([]float32, (hi-lo)*n)
				two.MatMul(part, n, a.Slice(lo, hi), w, false)
				wantBits(t, fmt.Sprintf("%s: rows %d..%d", what, lo, hi), part, whole[lo*n:hi*n])
				lo = hi
			}
		}
	}
}

// Accumulating continues the chain: K in two halves is K at once.
func TestMatMulContinues(t *testing.T) {
	for _, set := range availableSets() {
		x := execFor(t, set, 2)
		for _, f := range []Format{FormatF32, FormatBF16} {
			r := newRand(12)
			const m, n, k, cut = 14, 70, 96, 36
			a, w := randOperand(r, modeOf(f), m, k), randPanels(r, f, n, k)
			lowW, highW := NewPanels(f, n, cut), NewPanels(f, n, k-cut)
			row := make([]float32, k)
			for i := range n {
				w.RowF32(i, row)
				lowW.SetRowF32(i, row[:cut])
				highW.SetRowF32(i, row[cut:])
			}
			low, high := a, a
			low.Cols, high.Cols = cut, k-cut
			if f == FormatF32 {
				high.F = a.F[cut:]
			} else {
				high.B = a.B[cut:]
			}
			want, got := make([]float32, m*n), make([]float32, m*n)
			x.MatMul(want, n, a, w, false)
			x.MatMul(got, n, low, lowW, false)
			x.MatMul(got, n, high, highW, true)
			wantBits(t, fmt.Sprintf("%s %v", set, f), got, want)
		}
	}
}

func TestBackwardInvariance(t *testing.T) {
	for _, set := range availableSets() {
		one, two := execFor(t, set, 1), execFor(t, set, 2)
		r := newRand(13)
		const m, n = 50, 200
		for _, f := range allFormats {
			k := wholeUnits(f, 224)
			w, dy := randPanels(r, f, n, k), randOperand(r, modeOf(f), m, n)
			want, got := make([]float32, m*k), make([]float32, m*k)
			one.MatMulT(want, k, dy, w, 0, n, false)
			two.MatMulT(got, k, dy, w, 0, n, false)
			wantBits(t, fmt.Sprintf("%s %v MatMulT: two threads", set, f), got, want)
			for i := range m {
				two.MatMulT(got[:k], k, dy.Slice(i, i+1), w, 0, n, false)
				wantBits(t, fmt.Sprintf("%s %v MatMulT: row %d alone", set, f, i), got[:k], want[i*k:(i+1)*k])
			}
			// The rows of W in two spans, the second continuing the first.
			lo, hi := dy, dy
			lo.Cols, hi.Cols = 128, n-128
			if dy.Mode == F32 {
				hi.F = dy.F[128:]
			} else {
				hi.B = dy.B[128:]
			}
			two.MatMulT(got, k, lo, w, 0, 128, false)
			two.MatMulT(got, k, hi, w, 128, n, true)
			wantBits(t, fmt.Sprintf("%s %v MatMulT: in two spans", set, f), got, want)
		}
		// OuterAccum over all rows = row after row.
		const k = 224
		b, a := randOperand(r, BF16, m, k), randF32(r, m*16, 1)
		want, got := make([]float32, 16*k), make([]float32, 16*k)
		two.OuterAccum(want, k, a, 16, 16, b)
		for i := range m {
			one.OuterAccum(got, k, a[i*16:], 16, 16, b.Slice(i, i+1))
		}
		wantBits(t, set+" OuterAccum: row after row", got, want)
	}
}

// An elementwise function gives each row the same bits alone and in a batch.
func TestRowInvariance(t *testing.T) {
	for _, set := range availableSets() {
		x := execFor(t, set, 2)
		r := newRand(14)
		const rows, c = 33, 100
		src, up, w := randF32(r, rows*c, 2), randF32(r, rows*c, 2), randF32(r, c, 1)
		all, alone := NewOperand(BF16, rows, c), NewOperand(BF16, 1, c)
		rstd, rstd1 := make([]float32, rows), make([]float32, 1)
		row, row1 := make([]float32, c), make([]float32, c)
		check := func(what string, i int) {
			t.Helper()
			all.Slice(i, i+1).row32(0, row)
			alone.row32(0, row1)
			wantBits(t, fmt.Sprintf("%s %s row %d", set, what, i), row1, row)
		}
		x.RMSNorm(all, rstd, src, w, 1e-5, rows, c)
		for i := range rows {
			x.RMSNorm(alone, rstd1, src[i*c:], w, 1e-5, 1, c)
			check("RMSNorm", i)
		}
		x.SwiGLU(all, src, up, rows, c)
		for i := range rows {
			x.SwiGLU(alone, src[i*c:], up[i*c:], 1, c)
			check("SwiGLU", i)
		}
	}
}
