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
