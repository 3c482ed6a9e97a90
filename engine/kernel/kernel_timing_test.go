package kernel

import (
	"fmt"
	"testing"
	"time"
)

// Benchmarks of the shapes of SmolLM2-135M (hidden 576, ffn 1536): GFLOP/s of
// multiplies, GB/s of streams. DLM_KERNELS picks the set.

func benchExec(b *testing.B, threads int) *Exec {
	x, err := New(threads)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(x.Close)
	return x
}

// timed runs f and reports the rate of its fastest iteration: on a machine with
// other work the mean measures the others.
func timed(b *testing.B, amount float64, unit string, f func()) {
	best := time.Hour
	for b.Loop() {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	b.ReportMetric(amount/best.Seconds()/1e9, "best-"+unit)
}

func BenchmarkMatMul(b *testing.B) {
	for _, threads := range []int{1, 2} {
		x := benchExec(b, threads)
		for _, f := range allFormats {
			for _, s := range [][3]int{{2048, 1536, 576}, {2048, 576, 1536}, {2048, 192, 576}, {2048, 16, 576}, {512, 576, 576}} {
				b.Run(fmt.Sprintf("%s/%v/%dx%dx%d/threads=%d", x.Name(), f, s[0], s[1], s[2], threads), func(b *testing.B) {
					r := newRand(1)
					a, w := randOperand(r, modeOf(f), s[0], s[2]), randPanels(r, f, s[1], s[2])
					dst := make([]float32, s[0]*s[1])
					x.MatMul(dst, s[1], a, w, false)
					timed(b, 2*float64(s[0])*float64(s[1])*float64(s[2]), "GFLOP/s", func() { x.MatMul(dst, s[1], a, w, false) })
				})
			}
		}
	}
}

func BenchmarkMatMulT(b *testing.B) {
	for _, threads := range []int{1, 2} {
		x := benchExec(b, threads)
		for _, f := range allFormats {
			for _, s := range [][3]int{{2048, 1536, 576}, {2048, 576, 1536}, {2048, 192, 576}, {512, 576, 576}, {512, 4096, 576}} {
				b.Run(fmt.Sprintf("%s/%v/%dx%dx%d/threads=%d", x.Name(), f, s[0], s[1], s[2], threads), func(b *testing.B) {
					r := newRand(1)
					a, w := randOperand(r, modeOf(f), s[0], s[1]), randPanels(r, f, s[1], s[2])
					dst := make([]float32, s[0]*s[2])
					x.MatMulT(dst, s[2], a, w, 0, s[1], false)
					timed(b, 2*float64(s[0])*float64(s[1])*float64(s[2]), "GFLOP/s", func() { x.MatMulT(dst, s[2], a, w, 0, s[1], false) })
				})
			}
		}
	}
}

// BenchmarkDecode streams weights for few rows: GB/s of packed weight bytes.
func BenchmarkDecode(b *testing.B) {
	for _, threads := range []int{1, 2} {
		x := benchExec(b, threads)
		for _, f := range []Format{FormatQ4, FormatQ4Min, FormatQ8, FormatBF16} {
			for _, m := range []int{1, 2, 4, 8, 16} {
				b.Run(fmt.Sprintf("%s/%v/rows=%d/threads=%d", x.Name(), f, m, threads), func(b *testing.B) {
					r := newRand(1)
					const n, k = 49152, 576
					w := NewPanels(f, n, k) // zeros stream as fast as numbers
					for i := range w.data {
						w.data[i] = byte(i) & 0x3b
					}
					a := randOperand(r, BF16, m, k)
					dst := make([]float32, m*n)
					timed(b, float64(w.Bytes()), "GB/s", func() { x.MatMul(dst, n, a, w, false) })
				})
			}
		}
	}
}

func BenchmarkMulBlock(b *testing.B) {
	x := benchExec(b, 1)
	for _, mode := range []Mode{BF16, F32} {
		for _, m := range []int{1, 3, 64, 192} {
			b.Run(fmt.Sprintf("%s/%v/%dx64x64", x.Name(), mode, m), func(b *testing.B) {
				r := newRand(1)
				a, flat := randOperand(r, mode, m, 64), randOperand(r, mode, 64, 64)
				blk := Block{Mode: mode, K: 64, N: 64, B: flat.B, F: flat.F}
				dst := make([]float32, m*64)
				timed(b, 2*64*64*float64(m), "GFLOP/s", func() { x.MulBlock(dst, 64, a, blk, true) })
			})
		}
	}
}

func BenchmarkOuterAccum(b *testing.B) {
	for _, threads := range []int{1, 2} {
		x := benchExec(b, threads)
		for _, c := range []int{576, 1536} {
			b.Run(fmt.Sprintf("%s/2048x16x%d/threads=%d", x.Name(), c, threads), func(b *testing.B) {
				r := newRand(1)
				right := randOperand(r, BF16, 2048, c)
				a, dst := randF32(r, 2048*16, 1), make([]float32, 16*c)
				timed(b, 2*2048*16*float64(c), "GFLOP/s", func() { x.OuterAccum(dst, c, a, 16, 16, right) })
			})
		}
	}
}

// BenchmarkRows reports GB/s read and written.
func BenchmarkRows(b *testing.B) {
	for _, threads := range []int{1, 2} {
		x := benchExec(b, threads)
		bench := func(name string, bytes int, f func()) {
			b.Run(fmt.Sprintf("%s/%s/threads=%d", x.Name(), name, threads), func(b *testing.B) {
				timed(b, float64(bytes), "GB/s", f)
			})
		}
		r := newRand(1)
		const rows, h, ffn = 256, 576, 1536
		src, dy, w, rstd := randF32(r, rows*h, 1), randF32(r, rows*h, 1), randF32(r, h, 1), make([]float32, rows)
		gate, up, da := randF32(r, rows*ffn, 1), randF32(r, rows*ffn, 1), randF32(r, rows*ffn, 1)
		n1, f1, f2 := NewOperand(BF16, rows, h), NewOperand(BF16, rows, ffn), NewOperand(BF16, rows, ffn)
		dx := make([]float32, rows*h)
		bench("RMSNorm", rows*h*6, func() { x.RMSNorm(n1, rstd, src, w, 1e-5, rows, h) })
		bench("RMSNormBackward", rows*h*16, func() { x.RMSNormBackward(dx, dy, src, w, rstd, rows, h) })
		bench("SwiGLU", rows*ffn*10, func() { x.SwiGLU(f1, gate, up, rows, ffn) })
		bench("SwiGLUBackward", rows*ffn*16, func() { x.SwiGLUBackward(f1, f2, da, gate, up, rows, ffn) })
		bench("Round", rows*ffn*6, func() { x.Round(f1, gate, ffn) })
		bench("Add", rows*h*12, func() { x.Add(dx, src) })
		row := make([]float32, 2048)
		bench("ExpSub2048", 2048*8, func() { x.ExpSub(row, gate[:2048], 3) })
		bench("ExpSub64", 64*8, func() { x.ExpSub(row, gate[:64], 3) })
		bench("MaxRow64", 64*4, func() { x.MaxRow(gate[:64]) })
	}
}

// BenchmarkAttention reports the steps between multiplies on a tile of 64 x 64.
func BenchmarkAttention(b *testing.B) {
	x := benchExec(b, 1)
	r := newRand(1)
	s, dp, m, sum := randF32(r, 64*64, 1), randF32(r, 64*64, 1), make([]float32, 64), make([]float32, 64)
	o, rows := NewOperand(BF16, 64, 64), randOperand(r, BF16, 64, 64)
	blk := Block{Mode: BF16, K: 64, N: 64, B: NewOperand(BF16, 64, 64).B}
	for name, f := range map[string]func(){
		"SoftmaxBlock":         func() { x.SoftmaxBlock(o, s, 64, 64, 0.125, m, sum) },
		"SoftmaxBlockBackward": func() { x.SoftmaxBlockBackward(s, dp, 64, 64, 0.125, m, sum, sum) },
		"TransposeRound":       func() { x.TransposeRound(o, s, 64, 64) },
		"RoundRows":            func() { x.RoundRows(o, s, 64) },
		"PutRows":              func() { x.PutRows(blk, 0, rows) },
		"PutColumns":           func() { x.PutColumns(blk, 0, rows) },
	} {
		b.Run(x.Name()+"/"+name, func(b *testing.B) {
			timed(b, 100e3, "calls/us", func() {
				for range 100 {
					f()
				}
			})
		})
	}
}

// BenchmarkFork is the cost of an empty Run.
func BenchmarkFork(b *testing.B) {
	x := benchExec(b, 0)
	f := func(int, int) {}
	for b.Loop() {
		x.Run(x.Threads(), f)
	}
}
