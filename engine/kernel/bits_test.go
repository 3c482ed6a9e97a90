package kernel

import (
	"fmt"
	"math"
	"testing"
)

// Every set must give the portable set's bits, for every shape.
func TestMatMulBits(t *testing.T) {
	ref := execFor(t, "portable", 1)
	for _, set := range availableSets() {
		x := execFor(t, set, 2)
		for _, f := range allFormats {
			r := newRand(4)
			for _, s := range mulShapes(f) {
				for _, acc := range []bool{false, true} {
					what := fmt.Sprintf("%s %v %+v accumulate=%v", set, f, s, acc)
					a, w := randOperand(r, modeOf(f), s.m, s.k), randPanels(r, f, s.n, s.k)
					ldd := s.n + 3
					got := randF32(r, s.m*ldd, 1)
					want := append([]float32(nil), got...)
					x.MatMul(got, ldd, a, w, acc)
					ref.MatMul(want, ldd, a, w, acc)
					wantBits(t, what, got, want)
				}
			}
		}
	}
}

func TestMatMulTBits(t *testing.T) {
	ref := execFor(t, "portable", 1)
	for _, set := range availableSets() {
		x := execFor(t, set, 2)
		for _, f := range allFormats {
			r := newRand(5)
			for _, s := range mulShapes(f) {
				w := randPanels(r, f, s.n, s.k)
				for _, span := range [][2]int{{0, s.n}, {min(64, s.n) &^ 63, s.n}, {0, (s.n + 1) / 2}} {
					acc := r.IntN(2) == 1
					what := fmt.Sprintf("%s %v %+v rows %v accumulate=%v", set, f, s, span, acc)
					a := randOperand(r, modeOf(f), s.m, span[1]-span[0])
					ldd := s.k + 5
					got := randF32(r, s.m*ldd, 1)
					want := append([]float32(nil), got...)
					x.MatMulT(got, ldd, a, w, span[0], span[1], acc)
					ref.MatMulT(want, ldd, a, w, span[0], span[1], acc)
					wantBits(t, what, got, want)
				}
			}
		}
	}
}

func TestMulBlockBits(t *testing.T) {
	ref := execFor(t, "portable", 1)
	for _, set := range availableSets() {
		x := execFor(t, set, 1)
		r := newRand(6)
		for _, mode := range []Mode{BF16, F32} {
			for _, m := range []int{1, 2, 3, 5, 6, 7, 13, 64} {
				for _, kn := range [][2]int{{64, 64}, {2, 16}, {64, 48}, {32, 80}, {64, 128}, {0, 16}, {chunkK + 2, 64}} {
					k, n := kn[0], kn[1]
					a := randOperand(r, mode, m, k)
					flat := randOperand(r, mode, 1, k*n)
					b := Block{Mode: mode, K: k, N: n, B: flat.B, F: flat.F}
					for _, acc := range []bool{false, true} {
						got := randF32(r, m*n, 1)
						want := append([]float32(nil), got...)
						x.MulBlock(got, n, a, b, acc)
						ref.MulBlock(want, n, a, b, acc)
						wantBits(t, fmt.Sprintf("%s %v m=%d k=%d n=%d accumulate=%v", set, mode, m, k, n, acc), got, want)
					}
				}
			}
		}
	}
}

func TestOuterAccumBits(t *testing.T) {
	ref := execFor(t, "portable", 1)
	for _, set := range availableSets() {
		x := execFor(t, set, 2)
		r := newRand(7)
		for _, mode := range []Mode{BF16, F32} {
			for _, s := range [][3]int{{1, 1, 1}, {5, 16, 48}, {64, 16, 96}, {33, 7, 50}, {300, 9, 130}, {20, 15, 64}, {3, 20, 17}} {
				rows, rank, cols := s[0], s[1], s[2]
				b := randOperand(r, mode, rows, cols)
				a := randF32(r, rows*(rank+2), 1)
				got := randF32(r, rank*(cols+1), 1)
				want := append([]float32(nil), got...)
				x.OuterAccum(got, cols+1, a, rank+2, rank, b)
				ref.OuterAccum(want, cols+1, a, rank+2, rank, b)
				wantBits(t, fmt.Sprintf("%s %v %v", set, mode, s), got, want)
			}
		}
	}
}

// Values at the ends of the range: subnormal operands, products and sums,
// overflow. VDPBF16PS flushes them whatever the processor's mode; the other sets
// must do the same.
func TestMatMulSpecialBits(t *testing.T) {
	ref := execFor(t, "portable", 1)
	exps := []int{-133, -128, -126, -100, -70, -64, -63, -62, -30, 0, 30, 63, 64, 100, 127}
	for _, set := range availableSets() {
		x := execFor(t, set, 1)
		r := newRand(9)
		value := func() float32 {
			return float32(math.Ldexp(float64(r.IntN(511)-255)/128, exps[r.IntN(len(exps))]-r.IntN(3)))
		}
		for _, f := range []Format{FormatF32, FormatBF16} {
			for round := range 60 {
				const m, n, k = 7, 80, 24
				a, w := NewOperand(modeOf(f), m, k), NewPanels(f, n, k)
				for i := range m * k {
					if f == FormatF32 {
						a.F[i] = value()
					} else {
						a.B[i] = uint16(math.Float32bits(value()) >> 16)
					}
				}
				row, bits := make([]float32, k), make([]uint16, k)
				for i := range n {
					for j := range row {
						row[j] = value()
						bits[j] = uint16(math.Float32bits(row[j]) >> 16)
					}
					if f == FormatF32 {
						w.SetRowF32(i, row)
					} else {
						w.SetRowBF16(i, bits)
					}
				}
				got := make([]float32, m*n)
				for i := range got {
					got[i] = value()
				}
				want := append([]float32(nil), got...)
				x.MatMul(got, n, a, w, true)
				ref.MatMul(want, n, a, w, true)
				wantBits(t, fmt.Sprintf("%s %v round %d", set, f, round), got, want)
			}
		}
	}
}
