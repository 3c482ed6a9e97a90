package kernel

import (
	"testing"
	"time"
)

// BenchmarkDecodeFloor times the multiplies of a decoding step of SmolLM2-135M in
// Q4_1 with eight rows, each kind alone: over the same weights again and again, which
// stay in the cache, and over those of all layers in turn, which come from memory.
// us/step is what a step has of that kind.
func BenchmarkDecodeFloor(b *testing.B) {
	const rows, layers = 8, 30
	benchThreads(b, func(x *Exec) {
		for _, c := range []struct {
			name   string
			f      Format
			n, k   int
			copies int // of a step
		}{
			{"gate+up", FormatQ4Min, 3072, 576, layers}, {"down", FormatQ4Min, 576, 1536, layers}, {"qkv", FormatQ4Min, 960, 576, layers},
			{"o", FormatQ4Min, 576, 576, layers}, {"head", FormatQ8, 49152, 576, 1},
		} {
			for _, from := range []string{"cache", "memory"} {
				b.Run(benchName(x, "%s/%s", c.name, from), func(b *testing.B) {
					r := newRand(1)
					first := randPanels(r, c.f, c.n, c.k)
					ws := []*Panels{first}
					for from == "memory" && len(ws)*int(first.Bytes()) < 128<<20 {
						w := NewPanels(c.f, c.n, c.k)
						copy(w.data, first.data)
						ws = append(ws, w)
					}
					a, dst := randOperand(r, BF16, rows, c.k), make([]float32, rows*c.n)
					x.MatMul(dst, c.n, a, first, false)
					best := time.Hour
					for b.Loop() {
						start := time.Now()
						for i := range c.copies * 4 {
							x.Coming(ws[(i+1)%len(ws):][:1], nil)
							x.MatMul(dst, c.n, a, ws[i%len(ws)], false)
						}
						best = min(best, time.Since(start)/4)
					}
					b.ReportMetric(float64(best.Nanoseconds())/1e3, "us/step")
					b.ReportMetric(2*rows*float64(c.n*c.k*c.copies)/float64(best.Nanoseconds()), "GFLOP/s")
				})
			}
		}
	})
}
