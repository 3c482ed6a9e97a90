package kernel

import "testing"

// Shapes are those of SmolLM2-135M: hidden 576, ffn 1536, vocabulary 49152.

// wholeUnits is the next row length that format f can have.
func wholeUnits(f Format, k int) int { return (k + f.unit() - 1) / f.unit() * f.unit() }

// benchRows are the rows of a multiply: one sequence that decodes, eight, and
// parts of a prefill.
var benchRows = []int{1, 8, 64, 512}

func BenchmarkMatMul(b *testing.B) {
	benchThreads(b, func(x *Exec) {
		for _, f := range allFormats {
			for _, m := range benchRows {
				const n = 1536
				k := wholeUnits(f, 576)
				b.Run(benchName(x, "%v/%dx%dx%d", f, m, n, k), func(b *testing.B) {
					r := newRand(1)
					a, w := randOperand(r, modeOf(f), m, k), randPanels(r, f, n, k)
					dst := make([]float32, m*n)
					timed(b, x, multiply(m, n, k, int(w.Bytes()), modeOf(f)), 1, func() { x.MatMul(dst, n, a, w, false) })
				})
			}
		}
	})
}

// BenchmarkMatMulT is the backward multiply: the gradient of what a layer reads.
func BenchmarkMatMulT(b *testing.B) {
	benchThreads(b, func(x *Exec) {
		for _, f := range allFormats {
			for _, m := range benchRows {
				const n = 1536
				k := wholeUnits(f, 576)
				b.Run(benchName(x, "%v/%dx%dx%d", f, m, k, n), func(b *testing.B) {
					r := newRand(1)
					a, w := randOperand(r, modeOf(f), m, n), randPanels(r, f, n, k)
					dst := make([]float32, m*k)
					timed(b, x, multiply(m, k, n, int(w.Bytes()), modeOf(f)), 1, func() { x.MatMulT(dst, k, a, w, 0, n, false) })
				})
			}
		}
	})
}

// BenchmarkMatMulLoRA has the thin shapes of adapters of rank 16.
func BenchmarkMatMulLoRA(b *testing.B) {
	benchThreads(b, func(x *Exec) {
		for _, s := range [][3]int{{512, 16, 576}, {512, 16, 1536}, {512, 576, 16}, {512, 1536, 16}} {
			b.Run(benchName(x, "bf16/%dx%dx%d", s[0], s[1], s[2]), func(b *testing.B) {
				r := newRand(1)
				a, w := randOperand(r, BF16, s[0], s[2]), randPanels(r, FormatBF16, s[1], s[2])
				dst := make([]float32, s[0]*s[1])
				timed(b, x, multiply(s[0], s[1], s[2], int(w.Bytes()), BF16), 1, func() { x.MatMul(dst, s[1], a, w, true) })
			})
		}
	})
}

// BenchmarkMatMulStream multiplies few rows by weights that fill the cache: the
// vocabulary projection.
func BenchmarkMatMulStream(b *testing.B) {
	benchThreads(b, func(x *Exec) {
		for _, f := range allFormats {
			if f == FormatF32 {
				continue
			}
			for _, m := range []int{1, 8} {
				const n = 49152
				k := wholeUnits(f, 576)
				b.Run(benchName(x, "%v/%dx%dx%d", f, m, n, k), func(b *testing.B) {
					w := NewPanels(f, n, k)
					for i := range w.data {
						w.data[i] = byte(i) & 0x3b // positive numbers of all kinds
					}
					if f == FormatNF4 {
						w.SetNested(new([256]float32), make([]float32, (n*k/64+255)/256), 1)
					}
					a := randOperand(newRand(1), BF16, m, k)
					dst := make([]float32, m*n)
					timed(b, x, multiply(m, n, k, int(w.Bytes()), BF16), 1, func() { x.MatMul(dst, n, a, w, false) })
				})
			}
		}
	})
}

// BenchmarkMulBlock has attention's multiplies: queries by keys, weights by
// values.
func BenchmarkMulBlock(b *testing.B) {
	x, err := New(1)
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	for _, mode := range []Mode{BF16, F32} {
		for _, m := range []int{1, 3, 64} {
			b.Run(benchName(x, "%v/%dx64x64", mode, m), func(b *testing.B) {
				r := newRand(1)
				a, flat := randOperand(r, mode, m, 64), randOperand(r, mode, 64, 64)
				blk := Block{Mode: mode, K: 64, N: 64, B: flat.B, F: flat.F}
				dst := make([]float32, m*64)
				timed(b, x, multiply(m, 64, 64, len(flat.B)*2+len(flat.F)*4, mode), 100, func() {
					for range 100 {
						x.MulBlock(dst, 64, a, blk, true)
					}
				})
			})
		}
	}
}

// BenchmarkOuterAccum is the gradient of an adapter's matrix, in f32 units.
func BenchmarkOuterAccum(b *testing.B) {
	benchThreads(b, func(x *Exec) {
		for _, c := range []int{576, 1536} {
			b.Run(benchName(x, "bf16/512x16x%d", c), func(b *testing.B) {
				r := newRand(1)
				right := randOperand(r, BF16, 512, c)
				a, dst := randF32(r, 512*16, 1), make([]float32, 16*c)
				w := multiply(16, c, 512, len(right.B)*2, F32)
				timed(b, x, w, 1, func() { x.OuterAccum(dst, c, a, 16, 16, right) })
			})
		}
	})
}
