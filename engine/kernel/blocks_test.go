package kernel

import (
	"fmt"
	"math"
	"testing"
)

// softmaxRun returns all that the two softmax functions write.
func softmaxRun(x *Exec, mode Mode, rows, seen, more int, m0 float32) []float32 {
	r := newRand(uint64(rows*100 + seen))
	s, dp := randF32(r, rows*64, 8), randF32(r, rows*64, 1)
	m, sum, delta, inv := make([]float32, rows), make([]float32, rows), randF32(r, rows, 1), make([]float32, rows)
	for i := range m {
		m[i] = m0
	}
	s2 := append([]float32(nil), s...)
	p := NewOperand(mode, rows, 64)
	x.SoftmaxBlock(p, s, rows, seen, more, 0.125, m, sum)
	for i := range inv {
		inv[i] = 1 / sum[i]
	}
	x.SoftmaxBlockBackward(s2, dp, rows, seen, 0.125, m, inv, delta)
	out := append(append(append(append([]float32(nil), m...), sum...), s2...), dp...)
	row := make([]float32, 64)
	for i := range rows {
		p.row32(i, row)
		out = append(out, row...)
	}
	return out
}

func TestSoftmaxBlockBits(t *testing.T) {
	ref := execFor(t, "portable", 1)
	for _, set := range availableSets() {
		x := execFor(t, set, 1)
		for _, mode := range []Mode{BF16, F32} {
			for _, c := range [][2]int{{1, 1}, {1, 64}, {64, 1}, {7, 17}, {64, 200}, {33, 40}} {
				for _, m0 := range []float32{float32(math.Inf(-1)), 0.5, 30} {
					for more := range 2 {
						wantBits(t, fmt.Sprintf("%s %v rows=%d seen=%d more=%d m=%v", set, mode, c[0], c[1], more, m0),
							softmaxRun(x, mode, c[0], c[1], more, m0), softmaxRun(ref, mode, c[0], c[1], more, m0))
					}
				}
			}
		}
	}
}

// Blocks merged with the running maximum give softmax, and its gradient.
func TestSoftmaxBlockAgainstFloat64(t *testing.T) {
	x := execFor(t, availableSets()[0], 1)
	r := newRand(50)
	const rows, seen, scale = 9, 5, 0.3
	s, dp := randF32(r, rows*64, 3), randF32(r, rows*64, 1)
	score := append([]float32(nil), s...)
	m, sum := make([]float32, rows), make([]float32, rows)
	for i := range m {
		m[i] = float32(math.Inf(-1))
	}
	p := NewOperand(F32, rows, 64)
	x.SoftmaxBlock(p, s, rows, seen, 1, scale, m, sum)
	want, wantD := make([]float64, rows*64), make([]float64, rows*64)
	delta, inv, got := make([]float32, rows), make([]float32, rows), make([]float32, rows*64)
	for i := range rows {
		var z, d float64
		for j := range seen + i {
			z += math.Exp(scale * float64(score[i*64+j]))
		}
		for j := range seen + i {
			w := math.Exp(scale*float64(score[i*64+j])) / z
			want[i*64+j] = w
			d += w * float64(dp[i*64+j])
		}
		for j := range seen + i {
			wantD[i*64+j] = want[i*64+j] * (float64(dp[i*64+j]) - d) * scale
		}
		delta[i], inv[i] = float32(d), 1/sum[i]
		for j := range 64 {
			got[i*64+j] = p.F[i*p.Stride+j] / sum[i]
		}
	}
	wantNear(t, "weights", got, want, 2e-6, 1e-3)
	x.SoftmaxBlockBackward(score, dp, rows, seen, scale, m, inv, delta)
	wantNear(t, "weights again", score, want, 2e-6, 1e-3)
	wantNear(t, "gradient", dp, wantD, 2e-6, 1)
}

// Moving rows into blocks and transposing is checked value by value.
func TestPutAndTranspose(t *testing.T) {
	for _, set := range availableSets() {
		x := execFor(t, set, 1)
		r := newRand(51)
		for _, mode := range []Mode{BF16, F32} {
			for _, c := range [][3]int{{64, 64, 0}, {1, 64, 3}, {17, 32, 5}, {40, 64, 24}, {3, 48, 60}, {20, 16, 1}, {5, 6, 2}} {
				n, d, slot := c[0], c[1], c[2]
				what := fmt.Sprintf("%s %v %v", set, mode, c)
				big := randOperand(r, mode, n, d+8)
				a := big // columns 4..4+d of wider rows
				a.Cols = d
				if mode == F32 {
					a.F = big.F[4:]
				} else {
					a.B = big.B[4:]
				}
				val := func(o Operand, i int) float32 {
					if mode == F32 {
						return o.F[i]
					}
					return F32FromBF16(o.B[i])
				}
				byPos, byChan := randOperand(r, mode, 64, d), randOperand(r, mode, d, 64)
				before1, before2 := append([]uint16(nil), byPos.B...), append([]float32(nil), byPos.F...)
				pos := Block{Mode: mode, K: 64, N: d, B: byPos.B, F: byPos.F}
				chn := Block{Mode: mode, K: d, N: 64, B: byChan.B, F: byChan.F}
				x.PutRows(pos, slot, a)
				x.PutColumns(chn, slot, a)
				for i := range 64 {
					for j := range d {
						at := i*d + j
						if mode == BF16 {
							at = pairAt(i, d, j)
						}
						want := float32(0)
						switch {
						case i >= slot && i < slot+n:
							want = val(a, (i-slot)*a.Stride+j)
						case mode == F32:
							want = before2[at]
						default:
							want = F32FromBF16(before1[at])
						}
						if got := val(byPos, at); got != want {
							t.Fatalf("%s: PutRows: row %d column %d is %v, want %v", what, i, j, got, want)
						}
					}
				}
				for i := range n {
					for j := range d {
						at := j*64 + slot + i
						if mode == BF16 {
							at = pairAt(j, 64, slot+i)
						}
						if got, want := val(byChan, at), val(a, i*a.Stride+j); got != want {
							t.Fatalf("%s: PutColumns: row %d value %d is %v, want %v", what, i, j, got, want)
						}
					}
				}
				src := randF32(r, n*(d+3), 1)
				tr, rd := NewOperand(mode, d, (n+3)&^1), NewOperand(mode, n, d)
				for i := range tr.B {
					tr.B[i] = 0x3f80
				}
				x.TransposeRound(tr, src, d+3, n)
				x.RoundRows(rd, src, d+3)
				for j := range d {
					for i := range tr.Cols {
						want := float32(0)
						if i < n {
							want = src[i*(d+3)+j]
							if mode == BF16 {
								want = F32FromBF16(BF16FromF32(want))
							}
							if got := val(rd, i*rd.Stride+j); got != want {
								t.Fatalf("%s: RoundRows: (%d, %d) is %v, want %v", what, i, j, got, want)
							}
						}
						if got := val(tr, j*tr.Stride+i); got != want {
							t.Fatalf("%s: TransposeRound: (%d, %d) is %v, want %v", what, j, i, got, want)
						}
					}
				}
			}
		}
	}
}

func TestHeadDots(t *testing.T) {
	ref := execFor(t, "portable", 1)
	r := newRand(52)
	for _, set := range availableSets() {
		x := execFor(t, set, 1)
		for _, mode := range []Mode{BF16, F32} {
			for _, d := range []int{1, 16, 64, 100, 130} {
				const heads = 3
				o, v := randOperand(r, mode, 3, heads*d), randF32(r, heads*d, 1)
				got, want, exact := make([]float32, heads), make([]float32, heads), make([]float64, heads)
				x.HeadDots(got, v, o, 2, d)
				ref.HeadDots(want, v, o, 2, d)
				wantBits(t, set, got, want)
				row := make([]float32, heads*d)
				o.row32(2, row)
				for i := range row {
					exact[i/d] += float64(row[i]) * float64(v[i])
				}
				wantNear(t, set, got, exact, 1e-5, 1)
			}
		}
	}
}
