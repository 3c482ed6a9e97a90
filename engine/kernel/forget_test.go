package kernel

import (
	"runtime"
	"testing"
	"weak"
)

// TestForget lets go of everything that a few calls were given and wants the
// collector to have it: their arguments stay behind in the Exec until Forget.
func TestForget(t *testing.T) {
	for _, set := range availableSets() {
		t.Run(set, func(t *testing.T) {
			x := execFor(t, set, 2)
			var held []weak.Pointer[float32]
			func() {
				const m, n, k = 96, 128, 64
				r := newRand(1)
				buffer := func(size int) []float32 {
					b := make([]float32, size)
					held = append(held, weak.Make(&b[0]))
					return b
				}
				a := Operand{Mode: F32, F: buffer(m * k), Rows: m, Cols: k, Stride: k}
				w, dst, back := randPanels(r, FormatF32, n, k), buffer(m*n), buffer(m*k)
				x.MatMul(dst, n, a, w, false)
				dy := Operand{Mode: F32, F: dst, Rows: m, Cols: n, Stride: n}
				x.MatMulT(back, k, dy, w, 0, n, false)
				grad := buffer(16 * n)
				x.OuterAccum(grad, n, back, k, 16, dy)
				x.RMSNorm(a, buffer(m), back, buffer(k), 1e-5, m, k)
				x.MulBlock(dst[:64*64], 64, a.Slice(0, 64), Block{Mode: F32, K: k, N: 64, F: buffer(k * 64)}, false)
			}()
			x.Forget()
			runtime.GC()
			for i, p := range held {
				if p.Value() != nil {
					t.Errorf("buffer %d of %d is still held", i, len(held))
				}
			}
		})
	}
}
