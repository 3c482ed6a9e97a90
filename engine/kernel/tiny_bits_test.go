package kernel

import (
	"fmt"
	"math"
	"testing"
)

// Results just below the smallest normal number that round up to it stay; x86
// decides so after rounding, arm64 before.
func TestRoundsUpToNormal(t *testing.T) {
	const least = 0x1p-126
	for _, set := range availableSets() {
		x := execFor(t, set, 1)
		row := make([]float32, 40)
		for i := range row {
			row[i] = (1 + 0x1p-23) * 0x1p-100
		}
		x.Scale(row, (1-0x1p-23)*0x1p-26) // 2^-126 (1 - 2^-46)
		for i, v := range row {
			if v != least {
				t.Fatalf("%s: Scale: value %d is %g, want 2^-126", set, i, v)
			}
			row[i] = least
		}
		tiny := make([]float32, 40)
		for i := range tiny {
			tiny[i] = -0x1p-80
		}
		x.Axpy(row, 0x1p-80, tiny)
		for i, v := range row {
			if v != least {
				t.Fatalf("%s: Axpy: value %d is %g, want 2^-126", set, i, v)
			}
		}
		for _, f := range []Format{FormatF32, FormatBF16} {
			const n, k = 70, 2
			w, a, dst := NewPanels(f, n, k), NewOperand(modeOf(f), 1, k), make([]float32, n)
			for i := range n {
				w.SetRowF32(i, []float32{0x1p-80, 0})
				dst[i] = least
			}
			x.RoundRows(a, []float32{-0x1p-80, 0}, k)
			x.MatMul(dst, n, a, w, true)
			for i, v := range dst {
				if v != least {
					t.Fatalf("%s: MatMul %v: value %d is %g, want 2^-126", set, f, i, v)
				}
			}
			o := []float32{0: least, 39: least}
			x.OuterAccum(o, 40, []float32{-0x1p-80}, 1, 1, Operand{Mode: F32, Rows: 1, Cols: 40, Stride: 40, F: append([]float32{0x1p-80}, make([]float32, 39)...)})
			if o[0] != least || o[39] != least {
				t.Fatalf("%s: OuterAccum gives %g and %g, want 2^-126", set, o[0], o[39])
			}
		}
	}
}

// Where many results are flushed, every set still gives the portable set's bits.
func TestFlushedBits(t *testing.T) {
	ref := execFor(t, "portable", 1)
	for _, set := range availableSets() {
		x := execFor(t, set, 2)
		for _, scale := range []float32{0x1p-110, 0x1p-122} {
			for _, f := range allFormats {
				r := newRand(60)
				const m, n, k = 5, 83, 256 // a whole number of every format's units
				w, a, g := randPanels(r, f, n, k), NewOperand(modeOf(f), m, k), NewOperand(modeOf(f), m, n)
				x.RoundRows(a, randF32(r, m*k, scale), k)
				x.RoundRows(g, randF32(r, m*n, scale), n)
				got, want := randF32(r, m*n, scale), make([]float32, m*n)
				copy(want, got)
				x.MatMul(got, n, a, w, true)
				ref.MatMul(want, n, a, w, true)
				wantBits(t, fmt.Sprintf("%s %v MatMul at %g", set, f, scale), got, want)
				got, want = make([]float32, m*k), make([]float32, m*k)
				x.MatMulT(got, k, g, w, 0, n, false)
				ref.MatMulT(want, k, g, w, 0, n, false)
				wantBits(t, fmt.Sprintf("%s %v MatMulT at %g", set, f, scale), got, want)
				got, want = make([]float32, 11*k), make([]float32, 11*k)
				left := randF32(r, m*11, 0.01)
				x.OuterAccum(got, k, left, 11, 11, a)
				ref.OuterAccum(want, k, left, 11, 11, a)
				wantBits(t, fmt.Sprintf("%s %v OuterAccum at %g", set, f, scale), got, want)
			}
			for name, f := range rowRuns(scale) {
				wantBits(t, fmt.Sprintf("%s %s at %g", set, name, scale), f(x), f(ref))
			}
		}
	}
}

// rowRuns are row functions on values of which many results are flushed; each
// starts from the same values.
func rowRuns(scale float32) map[string]func(*Exec) []float32 {
	const rows, c = 3, 300
	tiny := func() []float32 { return randF32(newRand(61), rows*c, scale) }
	small := func() []float32 { return randF32(newRand(62), rows*c, 0x1p-12) }
	return map[string]func(*Exec) []float32{
		"Add": func(x *Exec) []float32 {
			v, o := tiny(), tiny()
			for i := range o {
				o[i] *= -(1 + 0x1p-18)
			}
			x.Add(v, o)
			return v
		},
		"Scale": func(x *Exec) []float32 { v := tiny(); x.Scale(v, 0x1p-6); return v },
		"Axpy":  func(x *Exec) []float32 { v := tiny(); x.Axpy(v, 0.013, tiny()); return v },
		"Dot":   func(x *Exec) []float32 { return []float32{x.Dot(tiny(), small())} },
		"Exp in place": func(x *Exec) []float32 {
			v := tiny()
			for i := range v[:50] {
				v[i] = -86 - float32(i)/32
			}
			x.Exp(v, v)
			return v
		},
		"ExpSub in place": func(x *Exec) []float32 {
			v := tiny()
			return append(v, x.ExpSub(v, v, 0x1p-100))
		},
		"RMSNorm": func(x *Exec) []float32 {
			o, rstd := NewOperand(F32, rows, c), make([]float32, rows)
			x.RMSNorm(o, rstd, tiny(), small()[:c], 1, rows, c)
			return append(o.F, rstd...)
		},
		"RMSNormBackward": func(x *Exec) []float32 {
			v, rstd := tiny(), []float32{1, 0.01, 0.001}
			x.RMSNormBackward(v, tiny(), small(), small()[:c], rstd, rows, c)
			return v
		},
		"SwiGLU": func(x *Exec) []float32 {
			o := NewOperand(F32, rows, c)
			x.SwiGLU(o, tiny(), small(), rows, c)
			return o.F
		},
		"SwiGLUBackward": func(x *Exec) []float32 {
			a, b := NewOperand(F32, rows, c), NewOperand(F32, rows, c)
			x.SwiGLUBackward(a, b, tiny(), small(), small(), rows, c)
			return append(a.F, b.F...)
		},
		"SoftmaxBlockBackward": func(x *Exec) []float32 {
			s, dp := randF32(newRand(63), 64, 40), tiny()[:64]
			x.SoftmaxBlockBackward(s, dp, 1, 60, 1, []float32{80}, []float32{0.3}, []float32{scale})
			return append(s, dp...)
		},
		"MaxRow": func(x *Exec) []float32 {
			v := tiny()[:20]
			for i := range v {
				v[i] = -float32(math.Abs(float64(v[i]))) * 0x1p-20
			}
			return []float32{x.MaxRow(v)}
		},
	}
}
