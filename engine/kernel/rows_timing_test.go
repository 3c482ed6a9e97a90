package kernel

import "testing"

// BenchmarkRows has the row functions of a pass of 256 rows, in bytes read and
// written.
func BenchmarkRows(b *testing.B) {
	benchThreads(b, func(x *Exec) {
		const rows, h, ffn = 256, 576, 1536
		bench := func(name string, width int, w work, f func()) {
			b.Run(benchName(x, "%s/%dx%d", name, rows, width), func(b *testing.B) { timed(b, x, w, 1, f) })
		}
		r := newRand(1)
		src, dy, w, rstd := randF32(r, rows*h, 1), randF32(r, rows*h, 1), randF32(r, h, 1), make([]float32, rows)
		gate, up, da := randF32(r, rows*ffn, 1), randF32(r, rows*ffn, 1), randF32(r, rows*ffn, 1)
		n1, f1, f2 := NewOperand(BF16, rows, h), NewOperand(BF16, rows, ffn), NewOperand(BF16, rows, ffn)
		dx := make([]float32, rows*h)
		bench("RMSNorm", h, copies(rows*h*6), func() { x.RMSNorm(n1, rstd, src, w, 1e-5, rows, h) })
		bench("RMSNormBackward", h, updates(rows*h*16, rows*h*8), func() { x.RMSNormBackward(dx, dy, src, w, rstd, rows, h) })
		bench("SwiGLU", ffn, copies(rows*ffn*10), func() { x.SwiGLU(f1, gate, up, rows, ffn) })
		bench("SwiGLUBackward", ffn, copies(rows*ffn*16), func() { x.SwiGLUBackward(f1, f2, da, gate, up, rows, ffn) })
		bench("Round", ffn, copies(rows*ffn*6), func() { x.Round(f1, gate, ffn) })
		bench("Add", h, updates(rows*h*12, rows*h*8), func() { x.Add(dx, src) })
	})
}

// benchSerial runs functions that use one worker.
func benchSerial(b *testing.B, f func(x *Exec, bench func(name string, w work, f func()))) {
	x, err := New(1)
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	f(x, func(name string, w work, f func()) {
		b.Run(benchName(x, "%s", name), func(b *testing.B) {
			timed(b, x, w, 20, func() {
				for range 20 {
					f()
				}
			})
		})
	})
}

// BenchmarkCrossEntropy has the pieces of the loss over a row of logits: the
// maximum and the sum of exponentials of a chunk of the vocabulary, then the
// gradient of the whole row.
func BenchmarkCrossEntropy(b *testing.B) {
	benchSerial(b, func(x *Exec, bench func(string, work, func())) {
		const chunk, vocab = 4096, 49152
		row, out := randF32(newRand(1), vocab, 3), make([]float32, vocab)
		o := NewOperand(BF16, 1, vocab)
		bench("MaxRow/4096", reads(chunk*4), func() { x.MaxRow(row[:chunk]) })
		bench("ExpSub/4096", copies(chunk*8), func() { x.ExpSub(out[:chunk], row[:chunk], 9) })
		bench("ExpSub/49152", copies(vocab*8), func() { x.ExpSub(out, row, 9) })
		bench("Scale/49152", updates(vocab*8, vocab*8), func() { x.Scale(out, 0.999) })
		bench("RoundRows/49152", copies(vocab*6), func() { x.RoundRows(o, out, vocab) })
	})
}

// BenchmarkAttention has the steps between attention's multiplies, on a tile of
// 64 rows and 64 keys, and the exponential by itself.
func BenchmarkAttention(b *testing.B) {
	benchSerial(b, func(x *Exec, bench func(string, work, func())) {
		const tile = 64 * 64
		r := newRand(1)
		s, dp, m, sum := randF32(r, tile, 1), randF32(r, tile, 1), make([]float32, 64), make([]float32, 64)
		o, rows := NewOperand(BF16, 64, 64), randOperand(r, BF16, 64, 64)
		blk := Block{Mode: BF16, K: 64, N: 64, B: NewOperand(BF16, 64, 64).B}
		e := make([]float32, tile)
		bench("Exp/4096", copies(tile*8), func() { x.Exp(e, s) })
		bench("Softmax/64x64", copies(tile*6), func() { x.SoftmaxBlock(o, s, 64, 64, 1, 0.125, m, sum) })
		bench("SoftmaxBackward/64x64", updates(tile*16, tile*16), func() { x.SoftmaxBlockBackward(s, dp, 64, 64, 0.125, m, sum, sum) })
		bench("TransposeRound/64x64", copies(tile*6), func() { x.TransposeRound(o, s, 64, 64) })
		bench("RoundRows/64x64", copies(tile*6), func() { x.RoundRows(o, s, 64) })
		bench("PutRows/64x64", copies(tile*4), func() { x.PutRows(blk, 0, rows) })
		bench("PutColumns/64x64", copies(tile*4), func() { x.PutColumns(blk, 0, rows) })
	})
}
