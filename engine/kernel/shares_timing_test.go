package kernel

import (
	"slices"
	"testing"
	"time"
)

// BenchmarkShares is what adapters (rank 16) add to the multiplies of a layer where
// nothing has to be read from memory: each group of projections again and again,
// with and without them in turns. us/step is for 30 layers.
func BenchmarkShares(b *testing.B) {
	for _, load := range []struct{ rows, adapters int }{{8, 1}, {8, 4}, {8, 8}} {
		benchThreads(b, func(x *Exec) {
			for _, g := range []struct {
				name string
				k    int
				outs []int
			}{{"qkv", 576, []int{576, 192, 192}}, {"o", 576, []int{576}}, {"gateup", 576, []int{1536, 1536}}, {"down", 1536, []int{576}}} {
				r := newRand(1)
				a := randOperand(r, BF16, load.rows, g.k)
				var with, without []Projection
				for _, n := range g.outs {
					p := Projection{Dst: make([]float32, load.rows*n), Ldd: n, W: randPanels(r, FormatQ4Min, n, g.k)}
					without = append(without, p)
					for i := range load.adapters {
						lo, hi := stretch(load.rows, i, load.adapters)
						p.Low = append(p.Low, LowRank{Lo: lo, Hi: hi, A: randPanels(r, FormatBF16, 16, g.k), B: randPanels(r, FormatBF16, n, 16), Scale: 2, H: NewOperand(BF16, hi-lo, 16)})
					}
					with = append(with, p)
				}
				b.Run(benchName(x, "%s/%dx%d", g.name, load.rows, load.adapters), func(b *testing.B) {
					var took [2][]time.Duration
					for range b.N {
						for range 100 {
							for i, ps := range [][]Projection{without, with} {
								start := time.Now()
								x.Project(a, ps)
								took[i] = append(took[i], time.Since(start))
							}
						}
					}
					const layers = 30
					for i := range took {
						slices.Sort(took[i])
					}
					base, all := took[0][len(took[0])/2], took[1][len(took[1])/2]
					b.ReportMetric(float64(layers*base.Nanoseconds())/1e3, "base-us/step")
					b.ReportMetric(float64(layers*(all-base).Nanoseconds())/1e3, "added-us/step")
				})
			}
		})
	}
}
