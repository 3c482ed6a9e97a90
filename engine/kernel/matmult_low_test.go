package kernel

import (
	"fmt"
	"testing"
)

// TestMatMulTLow: the low-rank parts of some rows give the bits of multiplies one
// after the other, in every set.
func TestMatMulTLow(t *testing.T) {
	ref := execFor(t, "portable", 1)
	r := newRand(71)
	for _, set := range availableSets() {
		x := execFor(t, set, 2)
		for _, f := range []Format{FormatF32, FormatBF16, FormatQ4Min} {
			const m, n, k, rank = 70, 96, 160, 6
			mode, af := modeOf(f), FormatBF16
			if mode == F32 {
				af = FormatF32
			}
			w, dy := randPanels(r, f, n, k), randOperand(r, mode, m, n)
			var low []LowRankT
			for _, rows := range [][2]int{{0, 20}, {20, 61}} { // the last rows have no adapter
				low = append(low, LowRankT{Lo: rows[0], Hi: rows[1], H: randOperand(r, mode, rows[1]-rows[0], rank), A: randPanels(r, af, rank, k)})
			}
			got := randF32(r, m*k, 1)
			want := append([]float32(nil), got...)
			x.MatMulTLow(got, k, dy, w, 0, n, true, low)
			ref.MatMulT(want, k, dy, w, 0, n, true)
			for _, l := range low {
				ref.MatMulT(want[l.Lo*k:], k, l.H, l.A, 0, rank, true)
			}
			wantBits(t, fmt.Sprint(set, f), got, want)
		}
	}
}
