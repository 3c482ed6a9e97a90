package kernel

import (
	"fmt"
	"math"
	"testing"
)

// rowResults runs every elementwise function on rows x c values and returns all
// that it wrote.
func rowResults(x *Exec, mode Mode, rows, c int, seed uint64) map[string][]float32 {
	r := newRand(seed)
	n := rows * c
	src, dy, gate, up := randF32(r, n, 1), randF32(r, n, 1), randF32(r, n, 4), randF32(r, n, 1)
	w, rstd := randF32(r, c, 1), make([]float32, rows)
	out := map[string][]float32{}
	flat := func(o Operand) []float32 {
		v := make([]float32, 0, rows*c)
		row := make([]float32, c)
		for i := range rows {
			o.row32(i, row)
			v = append(v, row...)
		}
		return v
	}
	d1, d2 := NewOperand(mode, rows, c), NewOperand(mode, rows, c)
	x.RMSNorm(d1, rstd, src, w, 1e-5, rows, c)
	out["norm"], out["rstd"] = flat(d1), rstd
	dx := randF32(r, n, 1)
	x.RMSNormBackward(dx, dy, src, w, rstd, rows, c)
	out["norm backward"] = dx
	x.SwiGLU(d1, gate, up, rows, c)
	out["swiglu"] = flat(d1)
	x.SwiGLUBackward(d1, d2, dy, gate, up, rows, c)
	out["dgate"], out["dup"] = flat(d1), flat(d2)
	x.Round(d1, src, c)
	out["round"] = flat(d1)
	sum := append([]float32(nil), dy...)
	x.Add(sum, src)
	out["add"] = sum
	e := make([]float32, n)
	x.Exp(e, gate)
	out["exp"] = e
	s := make([]float32, n)
	m := x.MaxRow(gate)
	out["expsub sum"] = []float32{m, x.ExpSub(s, gate, m), x.Dot(src, dy)}
	out["expsub"] = s
	ax := append([]float32(nil), dy...)
	x.Scale(ax, 0.37)
	x.Axpy(ax, -1.7, src)
	out["axpy"] = ax
	return out
}

func TestRowBits(t *testing.T) {
	ref := execFor(t, "portable", 1)
	for _, set := range availableSets() {
		x := execFor(t, set, 2)
		for _, mode := range []Mode{BF16, F32} {
			for _, s := range [][2]int{{1, 1}, {1, 16}, {2, 15}, {3, 64}, {5, 100}, {7, 577}, {40, 33}, {1, 5000}} {
				got, want := rowResults(x, mode, s[0], s[1], 8), rowResults(ref, mode, s[0], s[1], 8)
				for k := range want {
					wantBits(t, fmt.Sprintf("%s %v %v %s", set, mode, s, k), got[k], want[k])
				}
			}
		}
	}
}

// special holds values at every edge: signed zeros, subnormals, the smallest
// normals, infinities, exp's limits.
func special() []float32 {
	v := []float32{0, float32(math.Copysign(0, -1)), 0x1p-149, -0x1p-130, 0x1p-126, -0x1p-126, 0x1.8p-126, 1, -1, 0x1p127,
		-0x1p127, float32(math.Inf(1)), float32(math.Inf(-1)), -87.3, -87.29, -87.31, 88.72, 88.73, 88.3, -104, 200, 1e-30, 3.4e38, 0x1.7fp-126}
	for i := range 40 {
		v = append(v, float32(i)*0.3466-7)
	}
	return v
}

func TestRowSpecials(t *testing.T) {
	ref := execFor(t, "portable", 1)
	src := special()
	n := len(src)
	other := make([]float32, n)
	for i := range other {
		other[i] = src[(i*7+3)%n]
	}
	for _, set := range availableSets() {
		x := execFor(t, set, 1)
		run := func(x *Exec) map[string][]float32 {
			out := map[string][]float32{}
			o := NewOperand(BF16, 1, n)
			x.Round(o, src, n)
			f := make([]float32, n)
			o.row32(0, f)
			out["round"] = f
			e := make([]float32, n)
			x.Exp(e, src)
			out["exp"] = e
			a := append([]float32(nil), src...)
			x.Add(a, other)
			out["add"] = a
			b := append([]float32(nil), src...)
			x.Axpy(b, 0.75, other)
			out["axpy"] = b
			x.Scale(other, 0.999)
			out["scale"] = append([]float32(nil), other...)
			g := NewOperand(F32, 1, n)
			x.SwiGLU(g, src, other, 1, n)
			out["swiglu"] = g.F[:n]
			return out
		}
		saved := append([]float32(nil), other...)
		got := run(x)
		copy(other, saved)
		want := run(ref)
		copy(other, saved)
		for k := range want {
			wantBits(t, set+" "+k, got[k], want[k])
		}
	}
}

// TestRope compares with the rotation in float64 and the sets' bits with the
// portable one's; turned back, a row is what it was.
func TestRope(t *testing.T) {
	ref := execFor(t, "portable", 1)
	r := newRand(53)
	for _, set := range availableSets() {
		x := execFor(t, set, 1)
		for _, s := range [][2]int{{1, 16}, {3, 32}, {2, 64}, {5, 4}, {2, 24}} {
			heads, half := s[0], s[1]
			src, cos, sin := randF32(r, 2*half*heads, 1), make([]float32, half), make([]float32, half)
			exact := make([]float64, len(src))
			for i := range half {
				a := float64(i+1) * 0.37
				cos[i], sin[i] = float32(math.Cos(a)), float32(math.Sin(a))
				for h := range heads {
					p, q := h*2*half+i, h*2*half+half+i
					u, v := float64(src[p]), float64(src[q])
					exact[p], exact[q] = u*math.Cos(a)-v*math.Sin(a), v*math.Cos(a)+u*math.Sin(a)
				}
			}
			for _, mode := range []Mode{BF16, F32} {
				got, want := NewOperand(mode, 2, len(src)), NewOperand(mode, 2, len(src))
				x.Rope(got, 1, src, cos, sin, 1)
				ref.Rope(want, 1, src, cos, sin, 1)
				g, w := make([]float32, len(src)), make([]float32, len(src))
				got.row32(1, g)
				want.row32(1, w)
				wantBits(t, fmt.Sprint(set, mode, s), g, w)
				wantNear(t, fmt.Sprint(set, mode, s), g, exact, []float64{BF16: 8e-3, F32: 1e-6}[mode], 1)
				if mode == F32 {
					x.Rope(got, 1, got.F[got.Stride:], cos, sin, -1)
					back := make([]float64, len(src))
					for i, v := range src {
						back[i] = float64(v)
					}
					wantNear(t, fmt.Sprint(set, " back ", s), got.F[got.Stride:], back, 1e-6, 1)
				}
			}
		}
	}
}

// TestFlatRows: a matrix without gaps is walked as long rows, one with gaps is
// not, and both give the same numbers.
func TestFlatRows(t *testing.T) {
	r := newRand(54)
	for _, set := range availableSets() {
		x := execFor(t, set, 2)
		for _, mode := range []Mode{BF16, F32} {
			const rows, c = 1500, 14
			src := randF32(r, rows*c, 1)
			tight, wide := NewOperand(mode, rows, c), NewOperand(mode, rows, c+2)
			wide.Cols = c
			x.Round(tight, src, c)
			x.Round(wide, src, c)
			got, want, row := make([]float32, rows*c), make([]float32, rows*c), make([]float32, c)
			x.Widen(got, tight)
			x.Widen(want, wide)
			wantBits(t, fmt.Sprint(set, mode), got, want)
			scaled := append([]float32(nil), src...)
			x.ScaleRound(tight, scaled, 0.37)
			for i, v := range src {
				if w := mul32(v, 0.37); scaled[i] != w {
					t.Fatalf("%s: value %d is %v, want %v", set, i, scaled[i], w)
				}
			}
			for i := range rows {
				wide.row32(i, row)
				for k, v := range row {
					if w := src[i*c+k]; mode == F32 && v != w || mode == BF16 && v != F32FromBF16(BF16FromF32(w)) {
						t.Fatalf("%s %v: row %d, value %d is %v, of %v", set, mode, i, k, v, w)
					}
				}
				tight.row32(i, row)
				for k, v := range row {
					if w := scaled[i*c+k]; mode == BF16 && v != F32FromBF16(BF16FromF32(w)) || mode == F32 && v != w {
						t.Fatalf("%s %v: scaled row %d, value %d is %v, of %v", set, mode, i, k, v, w)
					}
				}
			}
		}
	}
}

// TestAdamWBits: every set's update has the reference's bits, at any length.
func TestAdamWBits(t *testing.T) {
	r := newRand(55)
	k := AdamW{Decay: 0.9999, OneMinusBeta1: 0.1, Beta2: 0.999, OneMinusBeta2: 0.001, RootBias2: 0.0316, Eps: 1e-8, NegStep: -1e-3}
	for _, set := range availableSets() {
		x := execFor(t, set, 1)
		for _, n := range []int{1, 16, 33, 1000} {
			var s, w [4][]float32
			for i := range s {
				s[i] = randF32(r, n, 1e-3)
				if i == 2 {
					for j := range s[i] {
						s[i][j] = float32(math.Abs(float64(s[i][j])))
					}
				}
				w[i] = append([]float32(nil), s[i]...)
			}
			s[3][0], w[3][0], s[2][0], w[2][0] = 0x1p-75, 0x1p-75, 0, 0 // a subnormal second moment
			x.AdamW(s[0], s[1], s[2], s[3], k)
			k.update(w[0], w[1], w[2], w[3])
			for i := range 3 {
				wantBits(t, fmt.Sprint(set, n, i), s[i], w[i])
			}
		}
	}
}

// TestScaleRows: each row has its own factor.
func TestScaleRows(t *testing.T) {
	r := newRand(57)
	for _, set := range availableSets() {
		x := execFor(t, set, 1)
		for _, cols := range []int{5, 16, 64} {
			got, f := randF32(r, 7*cols, 1), randF32(r, 7, 1)
			want := make([]float32, len(got))
			for i := range want {
				want[i] = mul32(got[i], f[i/cols])
			}
			x.ScaleRows(got, cols, f)
			wantBits(t, set, got, want)
		}
	}
}

// TestExpScale compares the fused gradient with its steps.
func TestExpScale(t *testing.T) {
	r := newRand(56)
	for _, set := range availableSets() {
		x := execFor(t, set, 1)
		for _, n := range []int{1, 64, 1003} {
			src := randF32(r, n, 8)
			want := make([]float32, n)
			x.ExpSub(want, src, 3.5)
			x.Scale(want, -0.01)
			o := NewOperand(F32, 1, n)
			x.ExpScale(o, 0, src, 3.5, -0.01)
			wantBits(t, set, o.F[:n], want)
			b, rounded := NewOperand(BF16, 1, n), NewOperand(BF16, 1, n)
			x.ExpScale(b, 0, src, 3.5, -0.01)
			x.Round(rounded, want, n)
			for i := range n {
				if b.B[i] != rounded.B[i] {
					t.Fatalf("%s: value %d is %04x, want %04x", set, i, b.B[i], rounded.B[i])
				}
			}
		}
	}
}
