package kernel

import (
	"fmt"
	"testing"
)

var (
	plainFormats   = []Format{FormatF32, FormatBF16, FormatQ4, FormatQ4Min, FormatQ8}
	groupedFormats = []Format{FormatQ5, FormatQ5Min, FormatQ4K, FormatQ5K, FormatQ6K, FormatNF4}
	allFormats     = append(append([]Format(nil), plainFormats...), groupedFormats...)
)

// shapes has odd and even K, rows around every tile height, columns that fill
// neither vectors nor panels, and K and N beyond one decoded chunk.
type mulShape struct{ m, n, k int }

func mulShapes(f Format) []mulShape {
	s := []mulShape{{1, 64, 64}, {2, 16, 32}, {3, 70, 96}, {5, 130, 64}, {6, 64, 32}, {7, 48, 160}, {8, 33, 64},
		{9, 1, 32}, {11, 70, 64}, {12, 96, 64}, {33, 90, 32}, {13, 17, 96}, {17, 200, 32}, {20, 64, 64}, {50, 80, 64}, {4, 64, chunkK + 64}, {19, 80, 2*chunkK + 32}, {7, chunkN + 90, 32}}
	if unit := f.unit(); unit > blockK { // K in units, beyond a decoded chunk and beyond the scales kept at once
		for i := range s {
			s[i].k = (s[i].k + unit - 1) / unit * unit
		}
		s = append(s, mulShape{3, 66, 5 * 256}, mulShape{12, 66, 5 * 256})
	}
	if !f.quantised() {
		s = append(s, mulShape{1, 64, 1}, mulShape{3, 20, 7}, mulShape{11, 65, 33}, mulShape{18, 16, 577}, mulShape{6, 47, 66})
	}
	return s
}

// naive is a·Wᵀ in float64.
func naive(a Operand, w *Panels) []float64 {
	out := make([]float64, a.Rows*w.N)
	x, row := make([]float32, a.Cols), make([]float32, w.K)
	for n := range w.N {
		w.RowF32(n, row)
		for m := range a.Rows {
			a.row32(m, x)
			for k := range row {
				out[m*w.N+n] += float64(x[k]) * float64(row[k])
			}
		}
	}
	return out
}

// tolerance per element relative to the sum's scale: f32 rounding of chains of
// some hundred terms.
const mulTol = 2e-5

func TestMatMulAgainstFloat64(t *testing.T) {
	for _, set := range availableSets() {
		x := execFor(t, set, 2)
		for _, f := range allFormats {
			r := newRand(3)
			for _, s := range mulShapes(f) {
				what := fmt.Sprintf("%s %v %+v", set, f, s)
				a, w := randOperand(r, modeOf(f), s.m, s.k), randPanels(r, f, s.n, s.k)
				dst := make([]float32, s.m*s.n)
				x.MatMul(dst, s.n, a, w, false)
				want := naive(a, w)
				wantNear(t, what, dst, want, mulTol, 1)
				x.MatMul(dst, s.n, a, w, true)
				for i := range want {
					want[i] *= 2
				}
				wantNear(t, what+" accumulate", dst, want, mulTol, 1)
			}
		}
	}
}
