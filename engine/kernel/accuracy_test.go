package kernel

import (
	"math"
	"testing"
)

// The error of exp over its whole range, in units in the last place.
func TestExpError(t *testing.T) {
	x := execFor(t, availableSets()[0], 1)
	const n = 1 << 20
	src, dst := make([]float32, n), make([]float32, n)
	for i := range src {
		src[i] = -87.3 + float32(i)/n*(87.3+88.72)
	}
	x.Exp(dst, src)
	worst, where := 0.0, float32(0)
	for i, v := range src {
		want := math.Exp(float64(v))
		ulp := math.Ldexp(1, max(math.Ilogb(want), -126)-23)
		if e := math.Abs(float64(dst[i])-want) / ulp; e > worst {
			worst, where = e, v
		}
	}
	t.Logf("largest error %.3f ulp, at %v", worst, where)
	if worst >= 2 {
		t.Errorf("exp is off by %.3f ulp at %v, want less than 2", worst, where)
	}
	for v, want := range map[float32]float32{float32(math.Inf(-1)): 0, -87.31: 0, -200: 0, 0: 1, 89: float32(math.Inf(1))} {
		x.Exp(dst[:1], []float32{v})
		if dst[0] != want {
			t.Errorf("exp(%v) = %v, want %v", v, dst[0], want)
		}
	}
	x.Exp(dst[:1], []float32{float32(math.NaN())})
	if dst[0] == dst[0] {
		t.Errorf("exp(NaN) = %v", dst[0])
	}
}

// silu64 and its gradient in float64.
func sigmoid64(g float64) float64 { return 1 / (1 + math.Exp(-g)) }

// Elementwise functions against float64, in f32 mode.
func TestRowsAgainstFloat64(t *testing.T) {
	x := execFor(t, availableSets()[0], 2)
	const rows, c, tol = 5, 300, 2e-6
	r := newRand(40)
	src, w, dy := randF32(r, rows*c, 1), randF32(r, c, 1), randF32(r, rows*c, 1)
	gate, up := randF32(r, rows*c, 5), randF32(r, rows*c, 1)
	o, o2, rstd := NewOperand(F32, rows, c), NewOperand(F32, rows, c), make([]float32, rows)

	norm := func(src []float64) []float64 {
		out := make([]float64, rows*c)
		for i := range rows {
			var ss float64
			for _, v := range src[i*c : (i+1)*c] {
				ss += v * v
			}
			s := 1 / math.Sqrt(ss/c+1e-5)
			for j := range c {
				out[i*c+j] = src[i*c+j] * s * float64(w[j])
			}
		}
		return out
	}
	wide := func(v []float32) []float64 {
		f := make([]float64, len(v))
		for i := range v {
			f[i] = float64(v[i])
		}
		return f
	}
	x.RMSNorm(o, rstd, src, w, 1e-5, rows, c)
	wantNear(t, "RMSNorm", o.F, norm(wide(src)), tol, 1)

	// Backward against central differences of the float64 forward.
	dx := make([]float32, rows*c)
	x.RMSNormBackward(dx, dy, src, w, rstd, rows, c)
	want := make([]float64, rows*c)
	for i := range want {
		const h = 1e-5
		p := wide(src)
		p[i] += h
		hi := norm(p)
		p[i] -= 2 * h
		lo := norm(p)
		row := i / c * c
		for j := row; j < row+c; j++ {
			want[i] += float64(dy[j]) * (hi[j] - lo[j]) / (2 * h)
		}
	}
	wantNear(t, "RMSNormBackward", dx, want, 1e-5, 1)

	x.SwiGLU(o, gate, up, rows, c)
	act := func(i int, dg, du float64) float64 {
		g := float64(gate[i]) + dg
		return g * sigmoid64(g) * (float64(up[i]) + du)
	}
	for i := range want {
		want[i] = act(i, 0, 0)
	}
	wantNear(t, "SwiGLU", o.F, want, tol, 1e-3)
	x.SwiGLUBackward(o, o2, dy, gate, up, rows, c)
	want2 := make([]float64, rows*c)
	for i := range want {
		const h = 1e-5
		want[i] = float64(dy[i]) * (act(i, h, 0) - act(i, -h, 0)) / (2 * h)
		want2[i] = float64(dy[i]) * (act(i, 0, h) - act(i, 0, -h)) / (2 * h)
	}
	wantNear(t, "dgate", o.F, want, 1e-5, 1)
	wantNear(t, "dup", o2.F, want2, 1e-5, 1)
}

// MatMulT, MulBlock and OuterAccum against float64.
func TestBackwardAgainstFloat64(t *testing.T) {
	x := execFor(t, availableSets()[0], 2)
	r := newRand(41)
	const m, n = 21, 130
	for _, f := range allFormats {
		k := max(96, f.unit())
		if f == FormatNF4 {
			k = 128
		}
		w, dy := randPanels(r, f, n, k), randOperand(r, modeOf(f), m, n)
		got := make([]float32, m*k)
		x.MatMulT(got, k, dy, w, 0, n, false)
		want := make([]float64, m*k)
		row, g := make([]float32, k), make([]float32, n)
		for i := range m {
			dy.row32(i, g)
			for j := range n {
				w.RowF32(j, row)
				for c, v := range row {
					if dy.Mode == BF16 {
						v = F32FromBF16(BF16FromF32(v))
					}
					want[i*k+c] += float64(g[j]) * float64(v)
				}
			}
		}
		wantNear(t, "MatMulT "+f.String(), got, want, mulTol, 1)
	}
	const k = 96
	b, a := randOperand(r, BF16, m, k), randF32(r, m*16, 1)
	got, want := make([]float32, 16*k), make([]float64, 16*k)
	x.OuterAccum(got, k, a, 16, 16, b)
	row := make([]float32, k)
	for i := range m {
		b.row32(i, row)
		for j := range 16 {
			for c, v := range row {
				want[j*k+c] += float64(a[i*16+j]) * float64(v)
			}
		}
	}
	wantNear(t, "OuterAccum", got, want, mulTol, 1)
}
